policy "a" { owner = "team-a
}

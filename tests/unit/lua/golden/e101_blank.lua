policy "a" {
  owner = "o",
}

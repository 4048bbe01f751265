local größe = "4GiB"

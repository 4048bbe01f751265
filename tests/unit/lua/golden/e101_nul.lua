local a = "x\0y"

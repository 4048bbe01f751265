aws "prod" { region = "us-east-1" }
asg "web" { aws = "prod" }
postgres "db" { host = "h", database = "d", user = "u" }
service "a" { asg = "web", pool_size = 5 }
service "b" { postgres = "db", pool_size = 5, log_group = "/app" }
service "c" { asg = "web", postgres = "db", pool_size = 5 }

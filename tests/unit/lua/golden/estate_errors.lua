aws "prod" { region = "us-east-1" }
asg "web-1" { aws = "prod", tag = { tier = "web" }, zoone = "a" }
asg "web-2" { aws = "pord" }
postgres "db" { host = "h", port = 99999, database = "d" }
cache "c" { host = "h", auth = "plain text" }
asg "web-1" { aws = "prod" }

aws "prod" { region = "us-east-1" }
asg "web-2" { aws = "pord" }
discover.asg { aws = "nowhere" }

aws "zone" { region = "us-east-1a", role = "runbookd" }
aws "city" { region = "frankfurt" }
aws "prod" { region = "us-gov-west-1", role = "arn:aws-us-gov:iam::123456789012:role/ops/runbookd" }
asg "arn" { aws = "prod", target_group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef" }
asg "lb" { aws = "prod", alb = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/0123456789abcdef" }
asg "names" { aws = "prod", target_group = "web", alb = "web" }
postgres "port" { host = "db.example.internal:5432", database = "d", user = "u", region = "eu" }
postgres "socket" { host = "/run/postgresql", database = "d", user = "u" }
queue "name" { aws = "prod", url = "orders" }
queue "fifo" { aws = "prod", url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders.fifo" }

aws "prod" { region = "us-east-1" }
certificate "good" { arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012", aws = "prod" }
certificate "china" { arn = "arn:aws-cn:acm:cn-north-1:123456789012:certificate/mrk-0123456789abcdef", aws = "prod", host = "x.example.com" }
certificate "shown" { host = "x.example.com" }
certificate "where" { arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678" }
certificate "iam" { arn = "arn:aws:iam::123456789012:server-certificate/x", aws = "prod" }
certificate "account" { arn = "arn:aws:acm:us-east-1:1234:certificate/12345678", aws = "prod" }
certificate "empty" { arn = "arn:aws:acm:us-east-1:123456789012:certificate/", aws = "prod" }
certificate "tail" { arn = "arn:aws:acm:us-east-1:123456789012:certificate/12345678/x", aws = "prod" }
certificate "id" { arn = "12345678-1234-1234-1234-123456789012", aws = "prod" }

aws "prod" { region = "us-east-1" }
cache "info" { host = "10.1.2.3", replication_group = "c", aws = "prod" }
cache "six" { host = "2001:db8::1" }
cache "none" { aws = "prod" }
cache "both" { host = "h", nodes = { "a:6379" } }
cache "kinds" { aws = "prod", serverless = "x", replication_group = "y" }
cache "account" { replication_group = "y" }
cache "nodes" { nodes = { "a.example.internal:6379", "[::1]:6379", "b", "c:0" } }
cache "empty" { nodes = {} }
cache "url" { host = "redis://x:6379" }
cache "port" { host = "x:6379" }
cache "type" { host = 5 }
certificate "none" {}
certificate "url" { host = "https://x.example.com" }

aws "demo" { region = "us-east-1", endpoint = "@AWS@" }
asg "basecoat-portal-asg" {
  aws = "demo", tag = { tier = "web" },
  target_group = "targetgroup/basecoat-portal/0123456789abcdef", alb = "app/basecoat-portal/456789abcdef0123",
}
cache "basecoat-portal-cache" { host = "@REDIS_HOST@", port = @REDIS_PORT@, replication_group = "basecoat-portal-cache", aws = "demo" }
postgres "basecoat-portal-db" { host = "@PGHOST@", port = @PGPORT@, database = "@PGDATABASE@", user = "runbookd", sslmode = "disable" }

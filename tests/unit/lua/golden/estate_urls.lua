aws "prod" { region = "us-east-1", endpoint = "127.0.0.1:4566" }
aws "sim" { region = "us-east-1", endpoint = "http://127.0.0.1:4566" }
service "shop" { url = "shop.example.com/health" }
service "portal" { url = "https://portal.example.com/health?deep=1" }
service "empty" { url = "https:///health" }
service "split" { url = "http://a\r\nHost: b" }

-- “in a comment” and "“in a string”" they are text
local x = "“"
policy “a” {
}

local function need(v)
  assert(v, "a limit is needed")
end
need(nil)

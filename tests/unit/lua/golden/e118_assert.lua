local limit = nil
assert(limit)

-- The workers that hold commands.
local found = {}
for _, worker in ipairs(call('ZRANGE', prefix .. 'leases', 0, -1)) do
    if call('SCARD', key('held', worker)) > 0 then found[#found + 1] = worker end
end
return found

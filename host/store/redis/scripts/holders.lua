-- The workers that hold commands; with ARGV[3] == '1' only those whose lease has run out.
local last, found = ARGV[3] == '1' and now() or '+inf', {}
for _, worker in ipairs(call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', last)) do
    if call('SCARD', key('held', worker)) > 0 then
        found[#found + 1] = worker
    elseif ARGV[3] == '1' then
        call('ZREM', prefix .. 'leases', worker)
    end
end
return found

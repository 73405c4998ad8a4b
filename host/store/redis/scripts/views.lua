-- The views of the commands named; false for one that is not there.
local found = {}
for i = 3, #ARGV do found[i - 2] = view(ARGV[i], '', '0,0') end
return found

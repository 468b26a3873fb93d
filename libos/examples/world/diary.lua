-- One of many small diaries: `nunatak world` gives each a NAME. Its template is made while the image is built. GET / is the
-- page, GET /?day=N one entry; a POST is confirmed with its size and checksum.
local web = require "web"

local name = os.getenv "NAME" or "a diary"
local template = "<!doctype html><title>{{name}}</title><h1>{{name}}</h1><p>visit {{visits}}</p><ol>{{{entries}}}</ol>\n"
local visits = 0

local function fnv(text, sum) -- FNV-1a
    sum = sum or 2166136261
    for i = 1, #text do
        sum = ((sum ~ text:byte(i)) * 16777619) & 0xFFFFFFFF
    end
    return sum
end

local entries, sum = {}, fnv(name)
for day = 1, 24 do
    sum = fnv(tostring(day), sum)
    entries[day] = ("<li>%d steps, %d letters & %d birds"):format(sum % 20000, sum % 7, sum % 31):gsub("&", "&amp;")
end

return function(request)
    local headers = {["X-World"] = name}
    if request.method == "POST" then
        headers["Content-Type"] = "application/json"
        return {headers = headers, body = web.json {name = name, bytes = #request.body, sum = fnv(request.body)} .. "\n"}
    end
    visits = visits + 1
    headers["Content-Type"] = "text/html; charset=utf-8"
    local chosen = entries[tonumber(request.params.day)]
    return {headers = headers, body = web.render(template, {
        name = name, visits = visits, entries = chosen or table.concat(entries, "\n"),
    })}
end

-- The module `web`: what pages need and Lua's own libraries do not have.
local form = ...
local web = {form = form} -- form(text): the fields of a submitted form, or of a query, as a table

local entities = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

-- Text as HTML text or attribute value.
function web.escape(text)
    return (tostring(text):gsub("[&<>\"']", entities))
end

-- Text as a part of a URL.
function web.encode(text)
    return (tostring(text):gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

-- A template with {{expression}} for escaped and {{{expression}}} for plain values: names of `values`, dots allowed.
function web.render(template, values)
    local function find(name)
        local value = values
        for part in name:gmatch("[^%.%s]+") do
            value = type(value) == "table" and value[part] or nil
        end
        return value == nil and "" or value
    end
    local plain = template:gsub("{{{([^{}]*)}}}", function(name) return (tostring(find(name)):gsub("{{", "{\0{")) end)
    local filled = plain:gsub("{{([^{}]*)}}", function(name) return (web.escape(find(name)):gsub("{{", "{\0{")) end)
    return (filled:gsub("{%z{", "{{"))
end

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function string_json(text)
    return '"' .. text:gsub('[%c"\\]', function(byte)
        return escapes[byte] or ("\\u%04x"):format(byte:byte())
    end) .. '"'
end

-- A value as JSON: a table with [1] is an array, any other an object, with its keys sorted.
function web.json(value, seen)
    local kind = type(value)
    if kind == "string" then
        return string_json(value)
    elseif kind == "number" then
        if value ~= value or value == math.huge or value == -math.huge then
            error("JSON has no " .. tostring(value), 2)
        end
        return math.type(value) == "integer" and tostring(value) or ("%.14g"):format(value)
    elseif kind == "boolean" or kind == "nil" then
        return tostring(value == nil and "null" or value)
    elseif kind ~= "table" then
        error("JSON has no " .. kind, 2)
    end
    seen = seen or {}
    if seen[value] then
        error("a table in itself cannot be JSON", 2)
    end
    seen[value] = true
    local parts = {}
    if value[1] ~= nil then
        for i, item in ipairs(value) do
            parts[i] = web.json(item, seen)
        end
    else
        local keys = {}
        for key in pairs(value) do
            keys[#keys + 1] = key
        end
        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
        for i, key in ipairs(keys) do
            parts[i] = string_json(tostring(key)) .. ":" .. web.json(value[key], seen)
        end
    end
    seen[value] = nil
    local list = table.concat(parts, ",")
    return value[1] ~= nil and "[" .. list .. "]" or "{" .. list .. "}"
end

return web

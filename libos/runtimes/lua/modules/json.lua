-- Values as JSON (RFC 8259) and back. Nothing is lost in silence: what one side cannot say is an error.
--
-- A table with [1] is an array and has the keys 1 to n, no others; any other table is an object, whose keys are strings or
-- integers. An empty table is an object unless array() made or marked it. null stands for JSON's null, since a table cannot
-- hold nil; from_json() gives it back, and arrays as array() marks them.
local json = {}

local DEPTH_MAX = 1000

local array_mark = {__name = "array"}
json.null = setmetatable({}, {__name = "null", __tostring = function() return "null" end, __newindex = error})

-- Marks a table as an array, so that it is one when it is empty, too.
function json.array(list)
    return setmetatable(list or {}, array_mark)
end

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function string_json(text)
    local length, bad = utf8.len(text)
    if not length then
        error("JSON: text in UTF-8 expected, byte " .. bad .. " is none", 0)
    end
    return '"' .. text:gsub('[%c"\\]', function(byte)
        return escapes[byte] or ("\\u%04x"):format(byte:byte())
    end) .. '"'
end

-- The shortest digits that are this number again.
local function number_json(value)
    if math.type(value) == "integer" then
        return tostring(value)
    end
    if value ~= value or value == math.huge or value == -math.huge then
        error("JSON has no " .. tostring(value), 0)
    end
    if value == 0 then
        return 1 / value < 0 and "-0.0" or "0"
    end
    for digits = 15, 16 do
        local text = ("%." .. digits .. "g"):format(value)
        if tonumber(text) == value then
            return text
        end
    end
    return ("%.17g"):format(value)
end

local write

local function array_json(list, out, seen, depth)
    local count = 0
    for key in next, list do
        if math.type(key) ~= "integer" or key < 1 then
            error("JSON: an array, which has [1], has no key " .. tostring(key), 0)
        end
        count = count + 1
    end
    if count ~= #list or rawget(list, count + 1) ~= nil then
        error("JSON: an array without holes expected; null stands for what is not there", 0)
    end
    out[#out + 1] = "["
    for i = 1, count do
        if list[i] == nil then
            error("JSON: an array without holes expected, [" .. i .. "] is nil; null stands for what is not there", 0)
        end
        if i > 1 then out[#out + 1] = "," end
        write(list[i], out, seen, depth)
    end
    out[#out + 1] = "]"
end

-- The keys as text, sorted, so that a table has the same JSON always.
local function object_json(object, out, seen, depth)
    local keys, values = {}, {}
    for key, value in next, object do
        if type(key) ~= "string" and math.type(key) ~= "integer" then
            error("JSON: a string or an integer expected as a key, got a " .. type(key), 0)
        end
        local name = tostring(key)
        if values[name] ~= nil then
            error("JSON: one key " .. name .. " expected, there is a string and a number", 0)
        end
        keys[#keys + 1], values[name] = name, value
    end
    table.sort(keys)
    out[#out + 1] = "{"
    for i, name in ipairs(keys) do
        if i > 1 then out[#out + 1] = "," end
        out[#out + 1] = string_json(name) .. ":"
        write(values[name], out, seen, depth)
    end
    out[#out + 1] = "}"
end

local plain = {
    string = string_json,
    number = number_json,
    boolean = tostring,
    ["nil"] = function() return "null" end,
}

function write(value, out, seen, depth)
    local kind = type(value)
    if plain[kind] then
        out[#out + 1] = plain[kind](value)
    elseif value == json.null then
        out[#out + 1] = "null"
    elseif kind ~= "table" then
        error("JSON has no " .. kind, 0)
    elseif seen[value] then
        error("JSON: a table in itself cannot be written", 0)
    elseif depth == DEPTH_MAX then
        error("JSON: at most " .. DEPTH_MAX .. " tables in one another expected", 0)
    else
        seen[value] = true
        local is_array = rawget(value, 1) ~= nil or getmetatable(value) == array_mark
        local write_table = is_array and array_json or object_json
        write_table(value, out, seen, depth + 1)
        seen[value] = nil
    end
end

-- A value as JSON.
function json.json(value)
    local out = {}
    write(value, out, {}, 0)
    return table.concat(out)
end

-- Reading. `at` is the place of the next byte; each function gives what it read and where that ends.

local read

local function fail(text, at, expected)
    local line = select(2, text:sub(1, at - 1):gsub("\n", "")) + 1
    local found = at > #text and "the end" or ("%q"):format(text:sub(at, at + 9):match("^[\32-\126]*"))
    error(("JSON: line %d, byte %d: %s expected, got %s"):format(line, at, expected, found), 0)
end

local function skip(text, at)
    return text:find("[^ \t\r\n]", at) or #text + 1
end

local unescaped = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}

local function read_escape(text, at)
    local plain_escape = unescaped[text:sub(at + 1, at + 1)]
    if plain_escape then
        return plain_escape, at + 2
    end
    local high = tonumber(text:match("^\\u(%x%x%x%x)", at) or fail(text, at, "an escape"), 16)
    if high >= 0xDC00 and high <= 0xDFFF then
        fail(text, at, "a high surrogate before a low one")
    elseif high < 0xD800 or high > 0xDBFF then
        return utf8.char(high), at + 6
    end
    local low = tonumber(text:match("^\\u(%x%x%x%x)", at + 6) or "0", 16)
    if low < 0xDC00 or low > 0xDFFF then
        fail(text, at + 6, "a low surrogate after a high one")
    end
    return utf8.char(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), at + 12
end

local function read_string(text, at)
    local parts, start = {}, at + 1
    while true do
        local stop = text:find('[%c"\\]', start) or #text + 1
        parts[#parts + 1] = text:sub(start, stop - 1)
        local byte = text:sub(stop, stop)
        if byte == '"' then
            return table.concat(parts), stop + 1
        elseif byte == "\\" then
            parts[#parts + 1], start = read_escape(text, stop)
        elseif byte == "\127" then
            parts[#parts + 1], start = byte, stop + 1
        else
            fail(text, stop, "the end of a string, or an escape for a control character,")
        end
    end
end

-- An integer is one in Lua if 64 bits hold it, or a float if that is the same number.
local function read_integer(text, digits, at)
    local integer = math.tointeger(tonumber(digits))
    if digits == "-0" then
        return -0.0
    elseif integer and math.type(tonumber(digits)) == "integer" then
        return integer
    end
    local float = tonumber(digits .. ".0")
    if #digits > 310 or ("%.0f"):format(float) ~= digits then
        fail(text, at, "an integer of 64 bits, or one that a float is exactly,")
    end
    return float
end

local function read_number(text, at)
    local digits = text:match("^-?0", at) or text:match("^-?[1-9]%d*", at) or fail(text, at, "a value")
    local stop = at + #digits
    local fraction = text:match("^%.%d+", stop) or ""
    local exponent = text:match("^[eE][+-]?%d+", stop + #fraction) or ""
    if fraction == "" and exponent == "" then
        return read_integer(text, digits, at), stop
    end
    local number = tonumber(digits .. fraction .. exponent) -- a float, as Lua says too
    if number == math.huge or number == -math.huge then
        fail(text, at, "a number up to 1.8e308")
    end
    return number, stop + #fraction + #exponent
end

-- Behind a member: where the next one begins, or what is after the end, and whether that was the end.
local function behind(text, at, closing)
    at = skip(text, at)
    local byte = text:sub(at, at)
    if byte == closing then
        return at + 1, true
    elseif byte ~= "," then
        fail(text, at, ", or " .. closing)
    end
    return skip(text, at + 1), false
end

local function read_array(text, at, depth)
    local list, count = json.array(), 0
    at = skip(text, at + 1)
    if text:sub(at, at) == "]" then
        return list, at + 1
    end
    while true do
        count = count + 1
        list[count], at = read(text, at, depth)
        local over
        at, over = behind(text, at, "]")
        if over then
            return list, at
        end
    end
end

local function read_object(text, at, depth)
    local object = {}
    at = skip(text, at + 1)
    if text:sub(at, at) == "}" then
        return object, at + 1
    end
    while true do
        if text:sub(at, at) ~= '"' then
            fail(text, at, "a name in quotes")
        end
        local name, stop = read_string(text, at)
        if object[name] ~= nil then
            fail(text, at, "another name than the one before")
        end
        at = skip(text, stop)
        if text:sub(at, at) ~= ":" then
            fail(text, at, ":")
        end
        object[name], at = read(text, skip(text, at + 1), depth)
        local over
        at, over = behind(text, at, "}")
        if over then
            return object, at
        end
    end
end

local words = {t = {"true", true}, f = {"false", false}, n = {"null", json.null}}
local readers = {['"'] = read_string, ["["] = read_array, ["{"] = read_object}

function read(text, at, depth)
    local byte = text:sub(at, at)
    local reader, word = readers[byte], words[byte]
    if depth == DEPTH_MAX and reader and byte ~= '"' then
        fail(text, at, "at most " .. DEPTH_MAX .. " values in one another")
    elseif reader then
        return reader(text, at, depth + 1)
    elseif word then
        if text:sub(at, at + #word[1] - 1) ~= word[1] then
            fail(text, at, "a value")
        end
        return word[2], at + #word[1]
    end
    return read_number(text, at)
end

-- The value that a JSON text says; a string that says where, and what was expected, as an error.
function json.from_json(text)
    local length, bad = utf8.len(text)
    if not length then
        error("JSON: text in UTF-8 expected, byte " .. bad .. " is none", 0)
    end
    local value, at = read(text, skip(text, 1), 0)
    at = skip(text, at)
    if at <= #text then
        fail(text, at, "the end")
    end
    return value
end

return json

const std = @import("std");

pub fn main() !void {
    var buffer: [64]u8 = undefined;
    const text = try std.fmt.bufPrint(&buffer, "zig says {d}\n", .{6 * 7});
    _ = std.os.linux.write(1, text.ptr, text.len);
}

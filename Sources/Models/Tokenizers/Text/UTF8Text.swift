/// Steps through valid UTF-8 bytes.
enum UTF8Text {
    /// The scalar at `text` and its length in bytes; `text` must be valid UTF-8.
    @inline(__always)
    static func scalar(at text: UnsafePointer<UInt8>) -> (Unicode.Scalar, Int) {
        let first = UInt32(text[0])
        let value: UInt32
        let length: Int
        if first < 0x80 {
            (value, length) = (first, 1)
        } else if first < 0xe0 {
            (value, length) = ((first & 0x1f) << 6 | UInt32(text[1]) & 0x3f, 2)
        } else if first < 0xf0 {
            (value, length) = ((first & 0xf) << 12 | (UInt32(text[1]) & 0x3f) << 6 | UInt32(text[2]) & 0x3f, 3)
        } else {
            let high = (first & 7) << 18 | (UInt32(text[1]) & 0x3f) << 12
            (value, length) = (high | (UInt32(text[2]) & 0x3f) << 6 | UInt32(text[3]) & 0x3f, 4)
        }
        return (Unicode.Scalar(value) ?? "\u{fffd}", length)
    }

    /// The length in bytes of a character that begins with `byte`.
    @inline(__always)
    static func length(leading byte: UInt8) -> Int {
        byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    }

    /// How many bytes at the end of `bytes` begin a character that is not complete yet: 0 to 3.
    static func incompleteSuffix(of bytes: some BidirectionalCollection<UInt8>) -> Int {
        var seen = 0
        for byte in bytes.reversed() {
            seen += 1
            if byte & 0xc0 == 0x80 {
                if seen == 4 { return 0 }
                continue
            }
            let expected: Int
            switch byte {
            case 0xc2...0xdf: expected = 2
            case 0xe0...0xef: expected = 3
            case 0xf0...0xf4: expected = 4
            default: return 0
            }
            return seen < expected ? seen : 0
        }
        return 0
    }
}

import CoppiceTensors

/// Unsigned codes of 4 or 8 bits in the 32-bit words that other tools keep them in, the first code in the lowest bits.
enum PackedWords {
    /// Codes in a word.
    static func perWord(_ bits: Int) -> Int { 32 / bits }

    /// Words that hold `count` codes.
    static func count(_ count: Int, bits: Int) -> Int { (count * bits + 31) / 32 }

    /// Bytes of a row of `count` codes in Coppice's formats, whose rows begin on whole bytes.
    static func rowBytes(_ count: Int, bits: Int) -> Int { (count * bits + 7) / 8 }

    /// Words `[rows, words]` with codes along their rows, as u8 `[rows · rowBytes]`: in little-endian memory the words
    /// are what Coppice stores, but for what pads the last one. A view where nothing is padded.
    static func rowsAsBytes(_ words: Tensor, count: Int, bits: Int) -> Tensor {
        let source = words.contiguous()
        let (rows, width) = (source.shape[0], source.shape[1] * 4)
        let bytes = Tensor(
            dataType: .u8, shape: [rows, width], storage: source.storage, byteOffset: source.offset * 4)
        return bytes.slice(axis: 1, 0..<rowBytes(count, bits: bits)).reshaped([-1])
    }

    /// The inverse of ``rowsAsBytes(_:count:bits:)``: i32 `[rows, words]`, the last word of a row filled with zeros.
    static func rowsAsWords(_ bytes: Tensor, rows: Int, count: Int, bits: Int) -> Tensor {
        let (from, to) = (rowBytes(count, bits: bits), Self.count(count, bits: bits) * 4)
        let result = Tensor(uninitialized: [rows, to / 4], dataType: .i32)
        let source = bytes.contiguous()
        withExtendedLifetime((source, result)) {
            for row in 0..<rows {
                let target = result.basePointer + row * to
                target.copyMemory(from: source.basePointer + row * from, byteCount: from)
                (target + from).initializeMemory(as: UInt8.self, repeating: 0, count: to - from)
            }
        }
        return result
    }

    /// Words `[words, n]` with codes along their columns, as one byte a code: u8 `[count, n]`.
    ///
    /// - Parameter places: which of a word's codes the first, second, … row is; in order if nil.
    static func unpackedColumns(_ words: Tensor, count: Int, bits: Int, places: [Int]? = nil) -> Tensor {
        let n = words.shape[1], perWord = perWord(bits)
        let mask = UInt32(1) << UInt32(bits) - 1
        var codes = [UInt8](repeating: 0, count: count * n)
        words.withElements(Int32.self) { words in
            for row in 0..<count {
                let (word, place) = row.quotientAndRemainder(dividingBy: perWord)
                let shift = UInt32((places?[place] ?? place) * bits)
                for column in 0..<n {
                    codes[row * n + column] = UInt8(
                        truncatingIfNeeded: UInt32(bitPattern: words[word * n + column]) >> shift & mask)
                }
            }
        }
        return Tensor(codes, shape: [count, n])
    }

    /// The inverse of ``unpackedColumns(_:count:bits:places:)`` in order: i32 `[words, n]` from u8 `[count, n]`.
    static func packedColumns(_ codes: Tensor, bits: Int) -> Tensor {
        let (count, n) = (codes.shape[0], codes.shape[1])
        var words = [UInt32](repeating: 0, count: Self.count(count, bits: bits) * n)
        codes.withElements(UInt8.self) { codes in
            for row in 0..<count {
                let (word, place) = row.quotientAndRemainder(dividingBy: perWord(bits))
                for column in 0..<n {
                    words[word * n + column] |= UInt32(codes[row * n + column]) << UInt32(place * bits)
                }
            }
        }
        return Tensor(words.map { Int32(bitPattern: $0) }, shape: [Self.count(count, bits: bits), n])
    }

    /// One byte a code, u8 `[rows, columns]`, from rows as Coppice stores them.
    static func unpackedRows(_ bytes: Tensor, rows: Int, columns: Int, bits: Int) -> Tensor {
        guard bits == 4 else { return bytes.reshaped([rows, columns]) }
        let width = rowBytes(columns, bits: 4)
        var result = Tensor(uninitialized: [rows, columns], dataType: .u8)
        bytes.withElements(UInt8.self) { source in
            result.withMutableElements(UInt8.self) { target in
                for row in 0..<rows {
                    for column in 0..<columns {
                        target[row * columns + column] =
                            source[row * width + column / 2] >> UInt8(column % 2 * 4) & 15
                    }
                }
            }
        }
        return result
    }

    /// Rows as Coppice stores them, u8 `[rows · rowBytes]`, from one byte a code, u8 `[rows, columns]`.
    static func packedRows(_ codes: Tensor, bits: Int) -> Tensor {
        guard bits == 4 else { return codes.reshaped([-1]) }
        let (rows, columns) = (codes.shape[0], codes.shape[1])
        let width = rowBytes(columns, bits: 4)
        var result = Tensor(uninitialized: [rows * width], dataType: .u8)
        codes.withElements(UInt8.self) { source in
            result.withMutableElements(UInt8.self) { target in
                for row in 0..<rows {
                    for byte in 0..<width {
                        let place = row * columns + 2 * byte
                        let high = 2 * byte + 1 < columns ? source[place + 1] : 0
                        target[row * width + byte] = source[place] & 15 | high << 4
                    }
                }
            }
        }
        return result
    }
}

import CoppiceTensors

/// Which columns of each row have a value: bit c of a row, in blocks of 16 columns, lowest bit first.
struct ColumnMasks: Sendable {
    let rows: Int
    let columns: Int
    /// u8 `[rows, 2 · ceil(columns / 16)]`: column c is bit c % 8 of byte c / 8.
    let bytes: Tensor

    static func rowBytes(_ columns: Int) -> Int { (columns + 15) / 16 * 2 }

    init(rows: Int, columns: Int, keeps: (Int) -> [Int]) {
        self.rows = rows
        self.columns = columns
        let width = Self.rowBytes(columns)
        var bytes = [UInt8](repeating: 0, count: rows * width)
        for row in 0..<rows { for column in keeps(row) { bytes[row * width + column / 8] |= 1 << UInt8(column % 8) } }
        self.bytes = Tensor(bytes, shape: [rows, width])
    }

    /// The columns of a matrix whose entries are not zero.
    ///
    /// - Parameter matrix: f32 `[rows, columns]`.
    init(nonZerosOf matrix: Tensor) {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        (self.rows, self.columns) = (rows, columns)
        let width = Self.rowBytes(columns)
        var bytes = Tensor.zeros([rows, width], dataType: .u8).contiguous()
        matrix.withElements(Float.self) { all in
            bytes.withMutableElements(UInt8.self) { bytes in
                nonisolated(unsafe) let (all, bytes) = (all, bytes)
                let rowsInTask = max(1, (1 << 16) / max(1, columns))
                inParallel((rows + rowsInTask - 1) / rowsInTask) { task in
                    for row in (task * rowsInTask)..<min(rows, (task + 1) * rowsInTask) {
                        for column in 0..<columns {
                            let bit: UInt8 = all[row * columns + column] != 0 ? 1 : 0
                            bytes[row * width + column / 8] |= bit << UInt8(column % 8)
                        }
                    }
                }
            }
        }
        self.bytes = bytes
    }

    /// The columns of a row that have a value, ascending.
    func columns(of row: Int) -> [Int] {
        let width = Self.rowBytes(columns)
        return bytes.withElements(UInt8.self) { all in
            (0..<columns).filter { all[row * width + $0 / 8] >> UInt8($0 % 8) & 1 == 1 }
        }
    }

    /// - Throws: `badData` for another size, or bits past the last column.
    init(stored: StoredWeight, rows: Int, columns: Int) throws {
        self.rows = rows
        self.columns = columns
        let width = Self.rowBytes(columns)
        bytes = try stored.part("masks", .u8, [rows, width]).aligned(to: 2)
        let row = bytes.withElements(UInt8.self) { all in
            (0..<rows).first { row in
                (columns..<(width * 8)).contains { all[row * width + $0 / 8] >> UInt8($0 % 8) & 1 == 1 }
            }
        }
        if let row { throw stored.failure("masks", "row \(row) has bits past column \(columns - 1)") }
    }

    /// Values of a row between two columns that are multiples of 8, or the whole row.
    func count(row: Int) -> Int {
        let width = Self.rowBytes(columns)
        return bytes.withElements(UInt8.self) { all in
            all[(row * width)..<((row + 1) * width)].reduce(0) { $0 + $1.nonzeroBitCount }
        }
    }

    /// The first row in which a group of `length` columns has not exactly `kept` values.
    func firstRow(violating kept: Int, of length: Int) -> Int? {
        let width = Self.rowBytes(columns)
        return bytes.withElements(UInt8.self) { all in
            (0..<rows).first { row in
                stride(from: 0, to: columns, by: length).contains { start in
                    let set = (start..<min(start + length, columns)).reduce(0) {
                        $0 + Int(all[row * width + $1 / 8] >> UInt8($1 % 8) & 1)
                    }
                    return set != kept
                }
            }
        }
    }
}

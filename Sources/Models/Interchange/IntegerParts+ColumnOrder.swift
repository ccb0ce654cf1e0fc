import CoppiceFormats
import CoppiceTensors

extension IntegerParts {
    /// Brings the columns of each group side by side, for a matrix whose groups are scattered: quantizing the most
    /// active columns first ("act-order") leaves it so.
    ///
    /// - Parameters:
    ///   - groups: the group of each column. Zeros throughout mean columns in order, as some tools write it.
    ///   - failure: makes an error of a message.
    /// - Throws: when a column's group does not exist, or a group has not its number of columns.
    mutating func sortColumns(by groups: [Int], failure: (String) -> CoppiceError) throws {
        let count = Self.groupCount(columns, groupSize: groupSize)
        guard groups.contains(where: { $0 != 0 }) else { return }
        if let column = groups.indices.first(where: { !(0..<count).contains(groups[$0]) }) {
            throw failure("column \(column) is in group \(groups[column]), expected 0 to \(count - 1)")
        }
        var members = [[Int]](repeating: [], count: count)
        for (column, group) in groups.enumerated() { members[group].append(column) }
        let length = groupSize ?? columns
        for (group, found) in members.enumerated() {
            let expected = min(length, columns - group * length)
            guard found.count == expected else {
                throw failure("group \(group) has \(found.count) columns, expected \(expected)")
            }
        }
        let order = members.flatMap { $0 }
        guard order != Array(order.indices) else { return }
        self.order = order
        let unsorted = PackedWords.unpackedRows(codes, rows: rows, columns: columns, bits: bits)
        var sorted = Tensor(uninitialized: [rows, columns], dataType: .u8)
        unsorted.withElements(UInt8.self) { source in
            sorted.withMutableElements(UInt8.self) { target in
                for row in 0..<rows {
                    for (place, column) in order.enumerated() {
                        target[row * columns + place] = source[row * columns + column]
                    }
                }
            }
        }
        codes = PackedWords.packedRows(sorted, bits: bits)
    }
}

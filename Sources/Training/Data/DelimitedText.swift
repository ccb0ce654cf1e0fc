import CoppiceTensors

/// Records of values that a character separates, one a line: tables as spreadsheets and data sets have them.
enum DelimitedText {
    struct Record: Equatable {
        /// From 1.
        var line: Int
        var fields: [String]
    }

    /// Reads all records; lines of nothing are passed over.
    ///
    /// - Parameters:
    ///   - separator: between values, an ASCII character.
    ///   - isQuoted: whether values in double quotes may hold separators, line breaks and doubled quotes (RFC 4180);
    ///     else quotes are characters as others are.
    /// - Throws: `.badData` for a quote that is not closed, naming the line.
    /// - Complexity: O(bytes).
    static func records(
        _ text: String, separator: Character, isQuoted: Bool, source: String
    ) throws -> [Record] {
        let quote = UInt8(ascii: "\"")
        let between = separator.asciiValue ?? 0
        let bytes = Array(text.utf8)
        var records: [Record] = []
        var (fields, field): ([String], [UInt8]) = ([], [])
        var (line, first) = (1, 1)
        /// Where quotes were opened; nil outside of them.
        var opened: Int?
        var isAtStart = true
        func finishField() {
            fields.append(String(decoding: field, as: UTF8.self))
            field = []
            isAtStart = true
        }
        func finishRecord() {
            finishField()
            if fields != [""] { records.append(Record(line: first, fields: fields)) }
            (fields, first) = ([], line)
        }
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if opened != nil {
                if byte == UInt8(ascii: "\n") { line += 1 }
                guard byte == quote else {
                    field.append(byte)
                    continue
                }
                if index < bytes.count, bytes[index] == quote {
                    field.append(quote)
                    index += 1
                } else {
                    opened = nil
                }
                continue
            }
            switch byte {
            case quote where isQuoted && isAtStart:
                opened = line
                isAtStart = false
            case between: finishField()
            case UInt8(ascii: "\n"):
                line += 1
                finishRecord()
            case UInt8(ascii: "\r") where index == bytes.count || bytes[index] == UInt8(ascii: "\n"): break
            default:
                field.append(byte)
                isAtStart = false
            }
        }
        if let opened {
            throw CoppiceError(
                .badData, source: source, field: "line \(opened)", "opens a quote that is not closed")
        }
        finishRecord()
        return records
    }
}

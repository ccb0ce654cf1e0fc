import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// A GGUF file in the making, for files that no writer would write.
struct RawGGUF {
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var valueCount: UInt64?
    var values: [[UInt8]] = []
    var tensors: [[UInt8]] = []
    var data: [UInt8] = []
    var alignment = 32

    static func number(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian, Array.init)
    }
    static func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func add(_ key: String, type: UInt32, _ bytes: [UInt8]) {
        values.append(Self.text(key) + Self.number(type) + bytes)
    }

    mutating func add(tensor name: String, _ extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
        tensors.append(
            Self.text(name) + Self.number(UInt32(extents.count)) + extents.flatMap { Self.number($0) }
                + Self.number(type)
                + Self.number(offset))
    }

    var bytes: [UInt8] {
        var all = Array("GGUF".utf8) + Self.number(version)
        all += Self.number(tensorCount ?? UInt64(tensors.count)) + Self.number(valueCount ?? UInt64(values.count))
        all += values.flatMap { $0 } + tensors.flatMap { $0 }
        all += [UInt8](repeating: 0, count: (alignment - all.count % alignment) % alignment)
        return all + data
    }
}

@Suite struct GGUFFileTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private func message(_ bytes: [UInt8]) throws -> String {
        let path = try scratch.write("a.gguf", bytes)
        let text = refusal { _ = try GGUFFile(path: path) }
        #expect(text.hasPrefix(path + ": "))
        return String(text.dropFirst(path.count + 2))
    }

    private func message(_ change: (inout RawGGUF) -> Void) throws -> String {
        var file = RawGGUF()
        change(&file)
        return try message(file.bytes)
    }

    // MARK: - Good files

    @Test func readsEveryTypeOfValue() throws {
        let file = try GGUFFile(path: fixtures + "/gguf/values.gguf")
        #expect(file.version == 3)
        #expect(file.tensors.isEmpty)
        let values = file.metadata
        #expect(values["general.architecture"]?.stringValue == "values")
        let integers = [
            "u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4_000_000_000, "i32": -2_000_000_000,
            "i64": Int.min,
        ]
        for (key, value) in integers { #expect(values[key]?.intValue == value) }
        if case .u64(let value) = values["u64"] { #expect(value == .max) } else { Issue.record("no u64") }
        #expect(values["u64"]?.intValue == nil)
        #expect(values["u64"]?.doubleValue == Double(UInt64.max))
        #expect(values["f32"]?.doubleValue == Double(Float(0.1)))
        #expect(values["f64"]?.doubleValue == 0.1)
        #expect(values["bool"]?.boolValue == true)
        #expect(values["string"]?.stringValue == "Füchse")
        #expect(values["integers"]?.arrayValue?.integers == [1, -2, 3])
        #expect(values["numbers"]?.arrayValue?.numbers == [0.5, -1.5])
        #expect(values["strings"]?.arrayValue?.strings == ["a", "", "ß"])
        #expect(values["flags"]?.arrayValue?.flags == [true, false])
        #expect(values["nested"]?.arrayValue?.arrays?.map(\.integers) == [[1, 2], [3]])
        #expect(values["integers"]?.arrayValue?.strings == nil)
        #expect(values["strings"]?.arrayValue?.integers == nil)
        #expect(values["nested"]?.arrayValue?.numbers == nil)
    }

    @Test func readsWhatItWrote() throws {
        let path = scratch["a.gguf"]
        var metadata = GGUFMetadata()
        metadata.add("general.architecture", "none")
        metadata.add("number", 7)
        metadata.add("ratio", 0.25)
        metadata.add("flag", true)
        metadata.add("texts", strings: [[0xff], Array("b".utf8)])
        let odd = Tensor([1, 2, 3] as [Float]), matrix = Tensor((0..<6).map { Float($0) }, shape: [2, 3])
        let blocks = Tensor((0..<36).map { UInt8($0) }, shape: [2, 18])
        try GGUFWriter.write(
            [
                GGUFWriter.Entry("odd", type: .dense(.f32), shape: [3]) { odd },
                GGUFWriter.Entry("matrix", type: .dense(.f16), shape: [2, 3]) { matrix.converted(to: .f16) },
                GGUFWriter.Entry("blocks", type: .block(.q4_0), shape: [2, 32]) { blocks },
            ], metadata: metadata, to: path)
        let file = try GGUFFile(path: path)
        #expect(Array(file.metadata.keys) == ["general.architecture", "number", "ratio", "flag", "texts"])
        #expect(file.metadata["number"]?.intValue == 7)
        #expect(file.metadata["ratio"]?.doubleValue == 0.25)
        #expect(file.metadata["texts"]?.arrayValue?.strings == ["\u{FFFD}", "b"])
        #expect(Array(file.tensors.keys) == ["odd", "matrix", "blocks"])
        #expect(try file.tensor("odd").floats() == [1, 2, 3])
        #expect(try file.tensor("matrix").shape == [2, 3])
        #expect(try file.tensor("matrix").converted(to: .f32).floats() == matrix.floats())
        #expect(try file.tensor("blocks").withElements(UInt8.self) { Array($0) } == (0..<36).map { UInt8($0) })
        #expect(try file.tensor("blocks").storage.isReadOnly, "a view of the mapped file")
        for tensor in file.tensors.values { #expect(tensor.bytes.lowerBound % 32 == 0) }
        #expect(refusal { _ = try file.tensor("other") }.hasSuffix("other: is missing"))
    }

    @Test func anAlignmentOfTheFileCounts() throws {
        var raw = RawGGUF(alignment: 1)
        raw.add("general.alignment", type: 4, RawGGUF.number(UInt32(1)))
        raw.add(tensor: "a", [1], offset: 0)
        raw.add(tensor: "b", [2], offset: 5)
        raw.data =
            RawGGUF.number(Float(1.5).bitPattern) + [9] + RawGGUF.number(Float(2).bitPattern)
            + RawGGUF.number(Float(-3).bitPattern)
        for version in [2, 3] as [UInt32] {
            raw.version = version
            let file = try GGUFFile(path: try scratch.write("b.gguf", raw.bytes))
            #expect(file.version == Int(version))
            #expect(try file.tensor("a").floats() == [1.5])
            #expect(try file.tensor("b").floats() == [2, -3], "copied where it is not aligned")
        }
    }

    // MARK: - Bad files

    @Test func filesThatAreNoGGUFAreRefused() throws {
        #expect(try message([]) == "is empty, expected a GGUF file")
        #expect(try message(Array("GG".utf8)) == "magic: expected 4 bytes at byte 0 but the file ends: truncated?")
        #expect(try message(Array("ABCDEFGH".utf8)) == "expected a GGUF file, which begins with the letters GGUF")
        #expect(try message { $0.version = 1 } == "version: expected 2 or 3, found 1")
        #expect(
            try message { $0.version = UInt32(3).byteSwapped }
                == "version: is written big-endian, expected a little-endian file")
        #expect(refusal(.noInput) { _ = try GGUFFile(path: scratch["none.gguf"]) }.contains("none.gguf"))
    }

    @Test func countsBeyondTheFileAreRefused() throws {
        #expect(
            try message { $0.tensorCount = .max }.hasPrefix("tensor count: 18446744073709551615 tensors do not fit"))
        #expect(
            try message { $0.valueCount = 1 << 40 }.hasPrefix("metadata count: 1099511627776 metadata values do not"))
        #expect(
            try message {
                $0.values.append(RawGGUF.number(UInt64(1) << 62)); $0.data = [UInt8](repeating: 0, count: 32)
            }
            .hasPrefix("key of metadata value 0: 4611686018427387904 bytes of text do not fit into the"))
        #expect(
            try message { $0.add("a", type: 8, RawGGUF.number(UInt64.max)) }.hasPrefix("a: 18446744073709551615 bytes"))
        let list = { (type: UInt32, count: UInt64) in RawGGUF.number(type) + RawGGUF.number(count) }
        #expect(
            try message { $0.add("a", type: 9, list(10, 1 << 61)) }.hasPrefix(
                "a: 2305843009213693952 values of type u64"))
        #expect(
            try message { $0.add("a", type: 9, list(8, 1000)) }.hasPrefix("a: 1000 values of type string do not fit"))
        let nested = (0..<40).flatMap { _ in list(9, 1) }
        #expect(try message { $0.add("a", type: 9, nested) } == "a: lists are nested deeper than 16")
    }

    @Test func valuesOfUnknownTypesAreRefused() throws {
        #expect(try message { $0.add("a", type: 13, [0]) } == "a: value type 13 is not known, expected 0 to 12")
        #expect(
            try message { $0.add("a", type: 9, RawGGUF.number(UInt32(77)) + RawGGUF.number(UInt64(0))) }
                == "a: value type 77 is not known, expected 0 to 12")
        #expect(try message { $0.add("a", type: 7, [2]) } == "a: expected 0 or 1 for a truth value, found 2")
        #expect(try message { for _ in 0..<2 { $0.add("a", type: 0, [2]) } } == "a: occurs twice")
        #expect(
            try message {
                $0.add("general.alignment", type: 4, RawGGUF.number(UInt32(24)))
                $0.add(tensor: "a", [1])
            } == "general.alignment: expected a power of two up to 2^20, found 24")
    }

    @Test func tensorsThatCannotBeAreRefused() throws {
        let cases: [(String, (inout RawGGUF) -> Void)] = [
            ("a: has 0 dimensions, expected 1 to 4", { $0.add(tensor: "a", []) }),
            ("a: has 5 dimensions, expected 1 to 4", { $0.add(tensor: "a", [1, 1, 1, 1, 1]) }),
            ("a: has an extent of 0, expected 1 to 2^63 - 1", { $0.add(tensor: "a", [0, 4]) }),
            ("a: has an extent of 18446744073709551615", { $0.add(tensor: "a", [.max]) }),
            ("a: shape [4611686018427387904, 4] is too large", { $0.add(tensor: "a", [1 << 62, 4]) }),
            ("a: shape [4611686018427387904] at offset 0 is too large", { $0.add(tensor: "a", [1 << 62]) }),
            ("a: shape [8] at offset 18446744073709551584", { $0.add(tensor: "a", [8], offset: .max - 31) }),
            ("a: type iq2_xxs is not supported, expected one of f32, f16,", { $0.add(tensor: "a", [256], type: 16) }),
            ("a: type 99 is not supported", { $0.add(tensor: "a", [256], type: 99) }),
            (
                "a: rows have 33 elements, expected a multiple of 32 for q4_0",
                { $0.add(tensor: "a", [33, 2], type: 2) }
            ),
            (
                "a: rows have 128 elements, expected a multiple of 256 for q4_k",
                { $0.add(tensor: "a", [128], type: 12) }
            ),
            ("a: its data begins at 8, expected a multiple of 32", { $0.add(tensor: "a", [1], offset: 8) }),
            ("a: its data ends at byte 64 but the file holds 40: truncated?", { $0.add(tensor: "a", [16]) }),
            (
                "a: its data ends at byte 4294967328 but the file holds 40",
                { $0.add(tensor: "a", [8], offset: 1 << 32) }
            ),
            (
                "b: its data overlaps that of a",
                {
                    $0.add(tensor: "a", [9])
                    $0.add(tensor: "b", [1], offset: 32)
                }
            ),
            ("a: occurs twice, expected one tensor", { for _ in 0..<2 { $0.add(tensor: "a", [1]) } }),
        ]
        for (expected, change) in cases {
            let found = try message {
                change(&$0)
                $0.data = [UInt8](repeating: 0, count: 40)
            }
            #expect(found.hasPrefix(expected), "\(found)")
        }
    }

    @Test func filesCutOffAnywhereAreRefused() throws {
        let whole = try #require(FileManager.default.contents(atPath: fixtures + "/gguf/values.gguf"))
        for count in stride(from: 0, to: whole.count - 1, by: 7) {
            let text = try message(Array(whole.prefix(count)))
            #expect(!text.isEmpty)
        }
    }
}

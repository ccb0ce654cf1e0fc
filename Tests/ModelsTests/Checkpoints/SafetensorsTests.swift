import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct SafetensorsTests {
    let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    // MARK: - Good files

    @Test func readsWhatItWrote() throws {
        let path = scratch["m.safetensors"]
        try SafetensorsWriter.write(
            [
                ("bytes", Tensor([1, 2, 3] as [UInt8])),
                ("matrix", Tensor([1.5, -2, 0, 4, 5, 6] as [Float], shape: [2, 3])),
                ("scalar", Tensor([7] as [Double], shape: [])), ("empty", Tensor([] as [Float], shape: [0, 4])),
                ("half", Tensor([BFloat16(1), BFloat16(-3)])), ("long", Tensor([Int64.min, 5])),
            ], metadata: ["format": "pt", "note": "naïve \"quotes\""], to: path)
        let file = try SafetensorsFile(path: path)
        #expect(file.metadata == ["format": "pt", "note": "naïve \"quotes\""])
        #expect(file.names == ["scalar", "long", "matrix", "empty", "half", "bytes"], "wider types come first")
        #expect(try file.tensor("matrix").floats() == [1.5, -2, 0, 4, 5, 6])
        #expect(try file.tensor("matrix").shape == [2, 3])
        #expect(try file.tensor("bytes").withElements(UInt8.self) { Array($0) } == [1, 2, 3])
        #expect(try file.tensor("scalar").withElements(Double.self) { Array($0) } == [7])
        #expect(try file.tensor("scalar").shape == [])
        #expect(try file.tensor("empty").shape == [0, 4])
        #expect(try file.tensor("long").withElements(Int64.self) { Array($0) } == [.min, 5])
        #expect(try file.tensor("half").floats() == [1, -3])
        for name in ["matrix", "bytes", "long"] { #expect(try file.tensor(name).storage.isReadOnly, "a view") }
        #expect(file.description(of: "matrix")?.shape == [2, 3])
        #expect(refusal { _ = try file.tensor("none") } == "\(path): none: is missing")
    }

    @Test func aTensorIsMadeWhenItsTurnComes() throws {
        let entries = (0..<3).map { index in
            SafetensorsWriter.Entry("t\(index)", dataType: .f32, shape: [2]) { Tensor([Float(index), 1]) }
        }
        try SafetensorsWriter.write(entries, to: scratch["lazy"])
        #expect(try SafetensorsFile(path: scratch["lazy"]).tensor("t2").floats() == [2, 1])
        struct Failure: Error {}
        let failing = SafetensorsWriter.Entry("t", dataType: .f32, shape: [2]) { throw Failure() }
        #expect(throws: Failure.self) { try SafetensorsWriter.write([failing], to: scratch["failed"]) }
        #expect(try scratch.names() == ["lazy"])
    }

    @Test func misalignedDataIsCopied() throws {
        let header =
            #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"f":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}}"#
        let values = [Float(1.25), -8].flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        let file = try SafetensorsFile(path: write(header, [9, 8, 7] + values))
        #expect(try file.tensor("f").floats() == [1.25, -8])
        #expect(try file.tensor("f").storage.isReadOnly == false)
        #expect(try file.tensor("b").withElements(UInt8.self) { Array($0) } == [9, 8, 7])
    }

    @Test func readsFilesOfTheReferenceImplementation() throws {
        let file = try SafetensorsFile(path: fixtures + "/models/mistral-sliding/model.safetensors")
        #expect(file.metadata["format"] == "pt")
        #expect(file.names.count == 21)
        let table = try file.tensor("model.embed_tokens.weight")
        #expect(table.shape == [61, 24])
        #expect(table.dataType == .bf16)
    }

    // MARK: - Bad files

    private func write(_ header: String, _ data: [UInt8] = [], length: UInt64? = nil) throws -> String {
        let size = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian, Array.init)
        return try scratch.write("bad.safetensors", size + Array(header.utf8) + data)
    }

    private func message(_ path: String) -> String {
        let text = refusal { _ = try SafetensorsFile(path: path) }
        #expect(text.hasPrefix(path + ": "))
        return String(text.dropFirst(path.count + 2))
    }

    private func message(header: String, _ data: [UInt8] = [], length: UInt64? = nil) throws -> String {
        message(try write(header, data, length: length))
    }

    @Test func filesThatAreNoSafetensorsAreRefused() throws {
        #expect(
            refusal(.noInput) { _ = try SafetensorsFile(path: scratch["none"]) }
                == "\(scratch["none"]): cannot open: No such file or directory")
        #expect(message(scratch.path) == "is not a regular file")
        #expect(message(try scratch.write("e", "")) == "is empty, expected a safetensors file")
        #expect(message(try scratch.write("s", "abc")) == "has 3 bytes, expected a safetensors file of at least 8")
        #expect(
            message(try scratch.write("t", "this is some text"))
                .hasSuffix("expected at most 100000000: not a safetensors file"))
        #expect(
            try message(header: "{}", length: 99_999_999)
                == "header: its length is 99999999 bytes but only 2 follow: truncated?")
        #expect(try message(header: "{}", length: .max).hasPrefix("header: its length is 18446744073709551615 bytes"))
        #expect(try message(header: "{\"a\"", []).hasPrefix("header: line 1, column "))
        #expect(try message(header: "[]") == "header: expected a JSON object")
        #expect(try message(header: "", []).hasPrefix("header: line 1, column 1"))
    }

    private func entry(_ name: String, _ type: String, _ shape: String, _ offsets: String) -> String {
        "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
    }

    @Test func headersThatDisagreeWithThemselvesAreRefused() throws {
        let known = "expected one of F64, F32, F16, BF16, I64, I32, I8, U8, BOOL"
        let cases: [(String, String)] = [
            (entry("a", "F8_E4M3", "[4]", "[0,4]"), "a: dtype F8_E4M3 is not supported, \(known)"),
            (#""a":{"shape":[1],"data_offsets":[0,4]}"#, "a: dtype is missing, expected a string"),
            (#""a":{"dtype":"F32","data_offsets":[0,4]}"#, "a: shape is missing, expected a list"),
            (#""a":7"#, "a: dtype is missing, expected a string"),
            (entry("a", "F32", "[-1]", "[0,4]"), "a: shape holds -1, expected whole numbers of at least 0"),
            (entry("a", "F32", "[1.5]", "[0,4]"), "a: shape holds 1.5, expected whole numbers of at least 0"),
            (
                entry("a", "F32", "[4294967296,4294967296]", "[0,4]"), "a: shape [4294967296, 4294967296] is too large"
            ),
            (entry("a", "F32", "[2]", "[0,4]"), "a: data_offsets span 4 bytes, expected 8 for F32 of shape [2]"),
            (entry("a", "BF16", "[2]", "[0,8]"), "a: data_offsets span 8 bytes, expected 4 for BF16 of shape [2]"),
            (
                entry("a", "F32", "[1]", "[4,0]"),
                "a: data_offsets is missing or wrong, expected [begin, end] with 0 ≤ begin ≤ end"
            ),
            (
                entry("a", "F32", "[1]", "[0]"),
                "a: data_offsets is missing or wrong, expected [begin, end] with 0 ≤ begin ≤ end"
            ),
            (
                entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[1]", "[4,8]"),
                "b: its data overlaps that of a"
            ),
            (
                entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "U8", "[1]", "[7,8]"),
                "b: 3 unused bytes precede its data, expected none"
            ),
            (entry("a", "F32", "[3]", "[0,12]"), "a: its data ends at byte 12 but the file holds 8: truncated?"),
            (entry("a", "F32", "[1]", "[0,4]"), "4 bytes follow the last tensor, expected none"),
            (#""__metadata__":[]"#, "__metadata__: expected an object of strings"),
            (#""__metadata__":{"a":1}"#, "__metadata__.a: expected a string"),
        ]
        for (members, expected) in cases {
            #expect(try message(header: "{\(members)}", [UInt8](repeating: 0, count: 8)) == expected)
        }
        let twice = entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]")
        #expect(
            try message(header: "{\(twice)}", [UInt8](repeating: 0, count: 8)).hasSuffix(
                "the key \"a\" occurs twice in one object"))
    }

    @Test func mutatedFilesNeverCrash() throws {
        let original = Array(
            try #require(
                FileManager.default.contents(
                    atPath: fixtures + "/models/qwen3-sharded/model-00001-of-00004.safetensors")))
        let headerEnd = 8 + Int(original.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
        var generator = SplitMix(state: 20)
        var opened = 0
        for _ in 0..<3000 {
            var bytes = original
            switch generator.next() % 4 {
            case 0: bytes.removeLast(Int(generator.next() % UInt64(bytes.count)))
            case 1:
                bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: Int(generator.next() % UInt64(headerEnd)))
            default: break
            }
            for _ in 0..<generator.next() % 4 where bytes.count > 0 {
                let limit = generator.next() % 8 == 0 ? bytes.count : min(headerEnd, bytes.count)
                // Digits and punctuation disturb the meaning more often than arbitrary bytes, which disturb the grammar.
                let replacements = Array("0123456789,[]{}\":-".utf8)
                bytes[Int(generator.next() % UInt64(limit))] =
                    generator.next() % 2 == 0
                    ? replacements[Int(generator.next() % UInt64(replacements.count))]
                    : UInt8(truncatingIfNeeded: generator.next())
            }
            let path = try scratch.write("mutated", bytes)
            do {
                let file = try SafetensorsFile(path: path)
                opened += 1
                for name in file.names {
                    let tensor = try file.tensor(name)
                    let sum = UnsafeRawBufferPointer(start: tensor.basePointer, count: tensor.byteCount).reduce(0) {
                        $0 &+ Int($1)
                    }
                    #expect(sum >= 0)
                }
            } catch let error as CoppiceError {
                #expect(error.kind == .badData)
            }
        }
        #expect(opened > 100, "some mutations are harmless")
        #expect(opened < 2500, "most are not")
    }
}

/// Numbers for mutations: SplitMix64 (Steele et al., 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

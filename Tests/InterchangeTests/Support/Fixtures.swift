import CKernels
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation

/// Checkpoints in the layouts of other tools, with what they mean.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/interchange").path

    static func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// The SHA-256 of each quantized matrix in f32, row-major.
    static func digests(_ name: String) throws -> [String: String] {
        let path = path(name) + "/reference.json"
        let json = try JSON(parsing: try Data(contentsOf: URL(fileURLWithPath: path)), source: path)
        return (json.objectValue ?? [:]).reduce(into: [:]) { $0[$1.key] = $1.value.stringValue }
    }

    /// Tokens, and the logits `[tokens, vocabulary]` of the model with those matrices.
    static func logits(_ name: String) throws -> (tokens: [Int], logits: [[Float]]) {
        let file = try SafetensorsFile(path: path(name) + "/reference.safetensors")
        let logits = try file.tensor("logits")
        return (
            try file.tensor("input_ids").integers(), (0..<logits.shape[0]).map { logits[$0].floats() }
        )
    }
}

/// The SHA-256 of a matrix in f32, row-major.
func digest(_ matrix: Tensor) -> String {
    matrix.converted(to: .f32).withElements(Float.self) { SHA256.hexadecimal(Array(UnsafeRawBufferPointer($0))) }
}

extension LanguageModel {
    /// Logits of all tokens of one text.
    func logits(_ tokens: [Int]) throws -> [[Float]] {
        let cache = makeCache(capacity: tokens.count, element: .f32)
        let sequence = SequenceID(1)
        try cache.add(sequence, reserving: tokens.count)
        let row = Row(sequence: sequence, start: 0, count: tokens.count)
        return try forward([row], tokens: tokens, cache: cache, logits: .all).copy()
    }
}

func largestDifference(_ a: [[Float]], _ b: [[Float]]) -> Float {
    guard a.count == b.count, zip(a, b).allSatisfy({ $0.count == $1.count }) else { return .infinity }
    return zip(a, b).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? 0
}

/// Runs `body` where products take activations as they are: vector kernels for integers round them to 8 bits.
func withExactActivations<Result>(_ body: () throws -> Result) rethrows -> Result {
    let usual = coppice_cpu_level_in_use()
    defer { coppice_set_cpu_level(usual) }
    coppice_set_cpu_level(COPPICE_CPU_PORTABLE)
    return try body()
}

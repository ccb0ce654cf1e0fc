import CoppiceModels
import CoppiceTensors
import Foundation

/// Checkpoints that the repository holds, with what `transformers` computes from them.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures").path

    static let models = [
        "llama-gqa-f32", "llama-biases-llama3-tied", "llama-yarn-multi-query", "llama-dynamic", "mistral-sliding",
        "qwen2-windows-tied", "qwen3-sharded",
    ]

    static func path(_ model: String) -> String { "\(folder)/models/\(model)" }

    /// Input ids, logits `[tokens, vocabulary]` and the greedy continuation of the first eight ids.
    static func reference(
        _ model: String
    ) throws -> (ids: [Int], logits: [[Float]], generated: [Int]?) {
        let file = try SafetensorsFile(path: path(model) + "/reference.safetensors")
        let logits = try file.tensor("logits")
        let values = logits.floats(), width = logits.shape[1]
        return (
            try file.tensor("input_ids").integers(),
            (0..<logits.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) },
            file.contains("generated") ? try file.tensor("generated").integers() : nil
        )
    }

    /// The folder of real data sets, where tests are told of one.
    static let data = ProcessInfo.processInfo.environment["COPPICE_DATA"]
}

func largestDifference(_ a: [[Float]], _ b: [[Float]]) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).map { largestDifference($0, $1) }.max() ?? 0
}

func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).map { $0.isNaN || $1.isNaN ? .infinity : abs($0 - $1) }.max() ?? 0
}

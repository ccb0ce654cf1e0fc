import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

private let dataFolder = ProcessInfo.processInfo.environment["COPPICE_DATA"]

/// What the methods do to a model that was really trained: a Llama of 260 thousand parameters and the text of its kind.
/// Run where `COPPICE_DATA` names the folder that holds `stories260k/` and `text/`.
@Suite(.enabled(if: dataFolder != nil), .serialized) struct RealModelTests {
    let folder: TemporaryFolder
    let checkpoint: Checkpoint
    let calibration: CalibrationTokens
    let windows: [[Int]]

    init() throws {
        let data = try #require(dataFolder)
        folder = try TemporaryFolder()
        checkpoint = try Checkpoint.open(data + "/stories260k/stories260K.bin")
        let tokenizer = try TokenizerLoader.load(folder: data + "/stories260k")
        let stories = try Self.stories(data + "/text/tinystories_2m.txt.gz").prefix(400).map {
            tokenizer.encode($0, addingSpecialTokens: true)
        }
        calibration = CalibrationTokens(stories[..<300].flatMap { $0 })
        windows = stories[300...].filter { $0.count >= 129 }.prefix(24).map { Array($0[..<129]) }
    }

    private static func stories(_ path: String) throws -> [String] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", path]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return text.components(separatedBy: "<|endoftext|>")
            .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter { !$0.isEmpty }
    }

    private func network(_ checkpoint: Checkpoint) throws -> DecoderNetwork {
        let network = DecoderNetwork(checkpoint.configuration, dataType: .f32)
        try network.load { try checkpoint.tensor($0) }
        return network
    }

    private func loss(_ checkpoint: Checkpoint) throws -> Double {
        let losses = try MaskedNetwork(decoder: network(checkpoint), windows: windows).losses(nil)
        return losses.reduce(0, +) / Double(losses.count)
    }

    private func loss(under stage: String) throws -> Double {
        let recipe = try Recipe(yaml: "calibration: {samples: 32, sequence_length: 256}\nstages: [{\(stage)}]")
        _ = try Compressor(checkpoint, recipe: recipe).run(output: folder.path + "/out", calibration: calibration)
        return try loss(Checkpoint.open(folder.path + "/out"))
    }

    @Test func methodsRankAsTheirPapersSay() throws {
        let dense = try loss(checkpoint)
        #expect(dense > 1 && dense < 1.7)
        #expect(try loss(under: "quantize: {bits: 8}") < dense + 0.02)
        let symmetric = try loss(under: "quantize: {bits: 4}")
        let asymmetric = try loss(under: "quantize: {bits: 4, symmetric: false}")
        #expect(asymmetric < symmetric && symmetric < dense + 0.3)
        let wanda = try loss(under: "prune: {method: wanda, sparsity: 0.5}")
        let magnitude = try loss(under: "prune: {method: magnitude, sparsity: 0.5, scope: row}")
        let random = try loss(under: "prune: {method: random, sparsity: 0.5}")
        #expect(dense < wanda && wanda < magnitude - 0.1 && magnitude < random - 1)
    }

    @Test func magnitudeDominatesRandomAtEverySparsity() throws {
        let grid = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        let variants = SparsityVariant.standard(sparsities: grid, seed: 42).filter {
            $0.label == "magnitude-global" || $0.label == "random-global"
        }
        let report = try SparsitySweep.run(on: network(checkpoint), windows: windows, variants: variants)
        let (magnitude, random) = (report.series[0], report.series[1])
        for sparsity in grid where sparsity >= 0.2 {
            let losses = try [magnitude, random].map { series in
                try #require(series.points.min { abs($0.sparsity - sparsity) < abs($1.sparsity - sparsity) }).loss
            }
            #expect(losses[1] - losses[0] > 0.1)
        }
        #expect(magnitude.tolerancePoint >= random.tolerancePoint)
        #expect(magnitude.knee != nil)
    }
}

import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct EssentialSparsityTests {
    /// A checkpoint of a tiny network, most of whose weights are tiny beside a few large ones when `isSparse`.
    private func checkpoint(_ folder: String, isSparse: Bool) throws -> Checkpoint {
        let configuration = DecoderConfiguration(
            vocabularySize: 64, hiddenSize: 32, intermediateSize: 48, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
            maximumPositions: 64, tiesEmbeddings: true, dataType: .f32)
        let network = DecoderNetwork(configuration, seed: 3, initialDeviation: 0.3)
        if isSparse {
            for (name, parameter) in network.parameters where name.hasSuffix("_proj.weight") {
                let tensor = parameter.wrappedValue.detached()
                let values = tensor.floats().enumerated().map {
                    $0.offset % 5 == 0 ? $0.element * 3 : $0.element * 1e-4
                }
                parameter.wrappedValue = Tensor(values, shape: tensor.shape)
            }
        }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try AtomicFile.write(configuration.json.serialized(), to: folder + "/config.json")
        try SafetensorsWriter.write(
            network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) },
            to: folder + "/model.safetensors")
        return try Checkpoint.open(folder)
    }

    private func run(isSparse: Bool, tokens: Int = 400) throws -> ExperimentReport {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coppice-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let model = ExperimentSetting.LanguageModel(
            name: "tiny", checkpoint: try checkpoint(folder, isSparse: isSparse),
            tokenize: { _ in (0..<tokens).map { $0 * 7919 % 64 } }, text: "text", textSource: "text")
        let setting = ExperimentSetting(languageModel: { model }, scale: 0.3)
        return try EssentialSparsity().run(setting, progress: SilentProgress())
    }

    @Test func invariantsHoldOnAnyNetworkAndRunsRepeat() throws {
        let report = try run(isSparse: false)
        let exact = try #require(report.claims.first { $0.id == "exact-masks" })
        #expect(exact.verdict == .holds, "\(exact.here)")
        #expect(try run(isSparse: false).json.serialized() == report.json.serialized())
        #expect(report.count(.notMeasured) == 20)
        #expect(report.illustrations.count == 5)
        // A network that was never trained shows no more near-zero weights than one that was never trained.
        #expect(report.claims.first { $0.id == "near-zero" }?.verdict == .doesNotHold)
        let curves = try #require(report.json["data"]?["curves"]?.arrayValue)
        #expect(curves.count == 7)
        for curve in curves { #expect(curve["loss"]?[0]?.doubleValue == curves[0]["loss"]?[0]?.doubleValue) }
    }

    @Test func plantedSparsityIsFound() throws {
        let report = try run(isSparse: true)
        #expect(report.claims.first { $0.id == "near-zero" }?.verdict == .holds)
        // Four fifths of the weights do nothing: all of them can go at no cost.
        let global = try #require(report.json["data"]?["curves"]?[0])
        #expect(global["method"]?.stringValue == "magnitude-global")
        let losses = try #require(global["loss"]?.arrayValue?.compactMap { $0.doubleValue })
        let sparsities = try #require(global["sparsity"]?.arrayValue?.compactMap { $0.doubleValue })
        for (sparsity, loss) in zip(sparsities, losses) where sparsity <= 0.8 { #expect(abs(loss - losses[0]) < 0.01) }
        #expect(abs((losses.last ?? 0) - losses[0]) > 0.01)
    }

    @Test func aTextTooShortIsRefused() {
        let error = #expect(throws: CoppiceError.self) { try run(isSparse: false, tokens: 20) }
        #expect(error?.kind == .badData && error?.message.contains("20 tokens") == true)
    }

    @Test func reportsAreWrittenAsAFolder() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coppice-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let report = try run(isSparse: false)
        try report.write(toFolder: folder)
        let names = [
            "report.html", "report.json", "report.txt", "report.md", "loss-by-sparsity.svg", "layers-at-knee.svg",
        ]
        for name in names {
            #expect(FileManager.default.fileExists(atPath: folder + "/" + name), "\(name)")
        }
    }
}

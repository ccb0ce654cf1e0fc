import CoppiceEvidence
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

@Suite struct ComparisonReportTests {
    private func inspect(_ bytes: Int, format: String) throws -> JSON {
        try JSON(
            text: """
                {"model":"a/tales","tensors":[{"name":"model.layers.0.mlp.up_proj.weight","shape":[8,16],
                "format":"\(format)","bytes":\(bytes),"bits_per_weight":\(Double(bytes) / 16),"sparsity":0.5}],
                "totals":{"multiplications":\(bytes * 4),"bytes":\(bytes),"bits_per_weight":\(Double(bytes) / 16),"sparsity":0.5}}
                """, source: "inspect")
    }

    @Test func readsWhatTheCommandsPrint() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("coppice-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder + "/small", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func write(_ text: String, _ name: String) throws { try AtomicFile.write(text, to: folder + "/" + name) }
        #expect(throws: CoppiceError.self) { try ComparisonReport(folder: folder) }
        try write(inspect(256, format: "bf16").serialized(), "inspect-before.json")
        try write(inspect(64, format: "int8 <&>").serialized(), "inspect-after.json")
        try write("{\"perplexity\":20.5,\"bits_per_byte\":1.25}", "evaluate-before.json")
        try write("{\"perplexity\":41}", "evaluate-after.json")
        try write("{\"prefill_tok_s\":1000,\"decode_tok_s\":100}", "bench-before.json")
        try write("{\"prefill_tok_s\":1500,\"decode_tok_s\":250}", "bench-after.json")
        try write("{\"prompt\":\"Once \",\"text\":\"there was <b>\"}", "story-before.json")
        try write("{\"output\":\"\(folder)/small\",\"recipe\":\"none.yaml\"}", "compress.json")
        try write("stages: []", "small/recipe.yaml")
        try write(
            "{\"weights\":[{\"name\":\"model.layers.0.mlp.up_proj.weight\",\"relative_error\":0.125}]}",
            "small/report.json")
        try write("{\"prompt\":\"q?\"}", "question.json")
        try write("{\"choices\":[]}", "answer.json")
        var report = try ComparisonReport(folder: folder)
        #expect(report.before.perplexity == 20.5 && report.after.perplexity == 41 && report.before.bytes == 256)
        #expect(report.after.weights.first?.relativeError == 0.125 && report.recipe == "stages: []")
        #expect(report.before.story == "Once there was <b>" && report.after.story == nil)
        let edges = try WeightHistogram([{ Tensor([Float(-1), 0, 0, 1], shape: [2, 2]) }], binCount: 3)
        report.histograms = (edges, edges)
        let html = report.html
        for text in [
            "4.00×", "2.50×", "1.50×", "2.00×", "12.50 %", "1024 (100.0 %)", "256 (25.0 %)",
            "bf16 → int8 &lt;&amp;&gt;", "stages: []", "q?",
        ] {
            #expect(html.contains(text), "\(text)")
        }
        #expect(!html.contains("<b>") && html.components(separatedBy: "<svg").count - 1 == 6)
        try write("{\"tensors\":[{\"name\":\"x\"}]}", "inspect-after.json")
        let error = #expect(throws: CoppiceError.self) { try ComparisonReport(folder: folder) }
        #expect(error?.field == "tensors[0].bytes")
    }

    @Test func histogramsCountInUnitsOfTheScale() throws {
        let tensor = Tensor([Float(-30), -1, 0, 0, 1, 30, .nan, 0.4], shape: [2, 4])
        let histogram = try WeightHistogram([{ tensor }], range: 3, binCount: 6, scales: [1])
        #expect(histogram.edges == [-3, -2, -1, 0, 1, 2, 3])
        #expect(histogram.counts == [1, 0, 1, 3, 1, 1])
        #expect(
            try WeightHistogram([{ Tensor([Float](repeating: 0, count: 4), shape: [2, 2]) }]).counts.allSatisfy {
                $0 == 0
            })
    }
}

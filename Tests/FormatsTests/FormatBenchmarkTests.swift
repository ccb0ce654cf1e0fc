import CoppiceFormats
import Foundation
import Testing

/// The benchmark's accounts. `COPPICE_BENCH_FORMATS=4096x4096` makes it print a table of that shape too.
@Suite(.serialized) struct FormatBenchmarkTests {
    @Test func resultsAreThoseOfTheWeights() throws {
        let weights = try FormatBenchmark.examples(rows: 36, columns: 128)
        let results = FormatBenchmark(inputRows: [1, 9], passes: 2).run(weights)
        #expect(results.map(\.label) == weights.map(\.label))
        #expect(Set(results.map(\.label)).count >= 12)
        #expect(results[0].label == "bf16" && results[0].bytesRatio == 1)
        for (result, weight) in zip(results, weights) {
            #expect(result.byteCount == weight.byteCount)
            #expect(result.bytesRatio == Double(weight.byteCount) / Double(36 * 128 * 2))
            #expect(result.timings.map(\.inputRows) == [1, 9])
            for (timing, reference) in zip(result.timings, results[0].timings) {
                #expect(timing.seconds > 0 && timing.timeRatio == timing.seconds / reference.seconds)
                #expect(timing.bytesPerSecond == Double(weight.byteCount) / timing.seconds)
                let operations = Double(2 * 36 * 128 * timing.inputRows)
                #expect(timing.operationsPerSecond == operations / timing.seconds)
            }
        }
        #expect(results[0].isPointless, "the reference has no advantage over itself")
        #expect(!results[1].isPointless, "8 bits are smaller than 16")
        #expect(FormatBenchmark().run([]).isEmpty)
    }

    @Test func examplesKeepTheirShares() throws {
        for weight in try FormatBenchmark.examples(rows: 64, columns: 256) {
            #expect(weight.rows == 64 && weight.columns == 256)
            if weight.label.hasPrefix("sparse-2:4") { #expect(weight.sparsity >= 0.5) }
            if weight.label == "sparse-bitmask-bf16" { #expect(weight.sparsity > 0.45) }
        }
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_BENCH_FORMATS"] != nil))
    func printsATable() throws {
        let wanted = ProcessInfo.processInfo.environment["COPPICE_BENCH_FORMATS"] ?? ""
        let inputRows = [1, 8, 512]
        for shape in wanted.split(separator: ",") {
            let extents = shape.split(separator: "x").compactMap { Int($0) }
            try #require(extents.count == 2, "expected shapes such as 4096x4096,512x192")
            let weights = try FormatBenchmark.examples(rows: extents[0], columns: extents[1])
            // As many entries pass for a small matrix as for a large one.
            let passes = min(200, max(9, (1 << 27) / (extents[0] * extents[1])))
            let results = FormatBenchmark(inputRows: inputRows, passes: passes).run(weights)
            print("\n| \(shape) | bytes | " + inputRows.map { "\($0) rows" }.joined(separator: " | ") + " |")
            print("|---|---|" + inputRows.map { _ in "---" }.joined(separator: "|") + "|")
            for (result, weight) in zip(results, weights) {
                let sparsity = Int((weight.sparsity * 100).rounded())
                let name = result.label + (result.label.contains("sparse") ? ", \(sparsity) % zero" : "")
                let times = result.timings.map { String(format: "%.2f", $0.timeRatio) }
                print(
                    "| \(name) | \(String(format: "%.3f", result.bytesRatio)) | " + times.joined(separator: " | ")
                        + " |")
            }
            for timing in results[0].timings {
                print(
                    "bf16, \(timing.inputRows) rows: "
                        + String(format: "%.1f GB/s, ", timing.bytesPerSecond / 1e9)
                        + String(format: "%.0f GFLOP/s", timing.operationsPerSecond / 1e9))
            }
        }
    }
}

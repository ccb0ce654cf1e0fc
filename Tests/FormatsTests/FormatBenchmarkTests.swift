import CoppiceFormats
import Testing

/// The benchmark's accounts. `coppice bench --formats 4096x4096` measures.
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

    @Test func sparseWeightsAreMeasuredAgainstTheSameBits() throws {
        let results = try SparseDecodingBenchmark(rows: 32, columns: 256).run(passes: 2, bytesBetween: 1 << 20)
        let references = Dictionary(uniqueKeysWithValues: results.map { ($0.name, $0.reference) })
        #expect(
            references == [
                "2:4-bf16": "bf16", "2:4-int8": "int8-group32", "2:4-int4": "int4-group128", "bitmask-50-bf16": "bf16",
                "bitmask-50-int8": "int8-group32", "bitmask-90-bf16": "bf16", "groups-of-16-50-int4": "int4-group32",
                "groups-of-32-50-int4": "int4-group32", "groups-of-64-50-int4": "int4-group64",
            ])
        for result in results {
            #expect(result.speedUp > 0 && result.speedUp.isFinite)
            // Fewer bytes than the dense weight, by the share that is kept.
            #expect(result.bytesRatio > 1.2 && result.bytesRatio < 10, "\(result.name)")
        }
    }

    @Test func tablesShowShares() throws {
        let results = FormatBenchmark(inputRows: [1, 8], passes: 1).run(
            Array(try FormatBenchmark.examples(rows: 32, columns: 128).prefix(2)))
        let lines = FormatBenchmark.table(results, title: "32 × 128").split(separator: "\n")
        #expect(
            lines.count == 4 && lines[0] == "| 32 × 128 | bytes | 1 row | 8 rows |" && lines[1] == "|---|---|---|---|")
        #expect(lines[2] == "| bf16 | 1.000 | 1.00 | 1.00 |")
        // 8 bits and a scale of 16 for each row of 128.
        #expect(lines[3].hasPrefix("| int8 | 0.508 | "))
        #expect(FormatBenchmark.table([], title: "").isEmpty)
    }
}

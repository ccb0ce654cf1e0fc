import CoppiceEvidence
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// That every part runs and accounts for what it measured. Speed itself is for `coppice bench --suite`.
@Suite(.serialized) struct SpeedSuiteTests {
    @Test func everyPartReportsItsFigures() throws {
        let folder = NSTemporaryDirectory() + "coppice-speed-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let report = try SpeedSuite(size: .small, rounds: 2).run(models: folder)
        #expect(report.size == .small && report.rounds == 2 && report.threads >= 1)
        #expect(!report.processor.isEmpty && ["portable", "avx2", "avx512"].contains(report.kernels))
        #expect(Set(report.figures.map(\.part)) == Set(SpeedSuite.Part.allCases))
        for figure in report.figures {
            #expect(figure.values.count == 2, "\(figure.part) \(figure.key)")
            #expect(figure.values.allSatisfy { $0 > 0 && $0.isFinite }, "\(figure.part) \(figure.key)")
            #expect(figure.least <= figure.median && figure.median <= figure.largest)
        }
        let expected: [SpeedSuite.Part: [String]] = [
            .roofline: ["read_bandwidth_gb_s", "f32_gop_s"], .trainLlama: ["f32_tok_s", "bf16_tok_s"],
            .trainResNet: ["f32_images_s", "bf16_images_s"], .selection: ["mask_weights_s"],
            .inverseFisher: ["diagonal_weights_s"],
            .allocation: [
                "3-layers/10000-weights/buckets_ms", "3-layers/10000-weights/lagrangian_ms",
                "3-layers/10000-weights/exact_ms",
            ],
            .trainPruned: [
                "lenet-300-100/dense_ms", "lenet-300-100/masked-90", "lenet-300-100/masked-90-sparse",
                "resnet-20/bip-95", "resnet-20/mask-search-90", "resnet-20/gates-layer", "resnet-20/gates-channel",
                "llama-10m/dense_ms", "llama-10m/masked-80-dense", "llama-10m/masked-90-sparse",
            ],
            .sparseDecoding: ["64x256/2:4-bf16", "64x256/bitmask-90-bf16", "64x256/groups-of-16-50-int4"],
        ]
        for part in SpeedSuite.Part.allCases {
            let model = ["prefill_tok_s", "decode_tok_s", "decode_gb_s", "decode_share_of_bandwidth", "prefill_gop_s"]
            for key in expected[part] ?? model { #expect(report.figure(part, key) != nil, "\(part) \(key)") }
        }

        // Peaks are there exactly where the processor has the arithmetic, and so are shares of them.
        let hasIntegers = ArithmeticPeak.int8.measure(steps: 1, repetitions: 1) != nil
        #expect((report.figure(.roofline, "int8_gop_s") != nil) == hasIntegers)
        if hasIntegers {
            let share = try #require(report.figure(.llamaInt8, "prefill_share_of_peak"))
            #expect(share.unit == "of int8 peak")
        }
        #expect(report.figure(.llamaF16, "prefill_share_of_peak")?.unit == "of f32 peak")

        // Each form is a file of its own, made once.
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { !$0.hasPrefix(".") }
        #expect(names.count == BenchmarkModel.Form.allCases.count)
    }

    @Test func reportsHaveStableKeys() throws {
        let report = try SpeedSuite(size: .small, parts: [.roofline, .sparseDecoding], rounds: 3).run()
        let json = try JSON(text: report.json.serialized(), source: "report")
        #expect(json["size"]?.stringValue == "small" && json["rounds"]?.intValue == 3)
        #expect(json["threads"]?.intValue == report.threads && json["processor"]?.stringValue == report.processor)
        #expect(json["parts"]?.objectValue.map { Array($0.keys) } == ["roofline", "sparse-decoding"])
        let bandwidth = try #require(json["parts"]?["roofline"]?["read_bandwidth_gb_s"])
        let rounds = try #require(bandwidth["rounds"]?.arrayValue).compactMap(\.doubleValue)
        #expect(rounds.count == 3)
        #expect(bandwidth["median"]?.doubleValue == rounds.sorted()[1])
        #expect(bandwidth["least"]?.doubleValue == rounds.min() && bandwidth["largest"]?.doubleValue == rounds.max())
        #expect(bandwidth["unit"]?.stringValue == "GB/s")
        #expect(report.text.contains("sparse-decoding") && report.text.contains("64x256/2:4-int8"))
    }

    @Test func figuresAreSummedUp() {
        #expect(SpeedReport.Figure(.roofline, "k", "u", [3, 1, 2]).median == 2)
        #expect(SpeedReport.Figure(.roofline, "k", "u", [4, 1, 2, 3]).median == 2.5)
        #expect(SpeedReport.Figure(.roofline, "k", "u", []).median.isNaN)
    }

    @Test func unknownPartsAreRefusedWithTheNearest() throws {
        for part in SpeedSuite.Part.allCases { #expect(try SpeedSuite.Part.named(part.rawValue) == part) }
        let error = #expect(throws: CoppiceError.self) { try SpeedSuite.Part.named("lama-int4") }
        #expect(error?.kind == .usage && error?.message.contains("did you mean \"llama-int4\"") == true)
    }

    @Test func operationsOfAPromptAreCounted() {
        let configuration = DecoderConfiguration(
            vocabularySize: 100, hiddenSize: 8, intermediateSize: 24, layerCount: 3, headCount: 2,
            keyValueHeadCount: 1)
        // Queries and output 8 × 8, keys and values 4 × 8, three of 8 × 24, in each of three layers.
        let layers = 3 * (2 * 64 + 2 * 32 + 3 * 192)
        let all = SpeedSuite.operationsPerPromptToken(configuration, promptTokens: 10)
        #expect(all == 2 * (Double(layers) + 80))
    }
}

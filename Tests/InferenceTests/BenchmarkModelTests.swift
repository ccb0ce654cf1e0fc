import CKernels
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// The model and the machine's limits that speed is measured with.
@Suite(.serialized) struct BenchmarkModelTests {
    @Test func everyFormIsTheSameModel() throws {
        let folder = NSTemporaryDirectory() + "coppice-models-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let tokens = [1, 400, 17, 3, 250]
        var reference: [Float] = []
        // Errors grow as bits become fewer. bf16 is first, which the others are made of.
        let bounds: [BenchmarkModel.Form: Float] = [.bf16: 0, .f16: 0.02, .int8: 0.05, .q8_0: 0.05]
        for form in BenchmarkModel.Form.allCases {
            let path = try BenchmarkModel.tiny.make(form, in: folder)
            #expect(path == BenchmarkModel.tiny.path(of: form, in: folder))
            let model = try LanguageModel(Checkpoint.open(path))
            #expect(model.configuration.layerCount == 2 && model.vocabularySize == 512)
            let cache = model.makeCache(capacity: 8)
            try cache.add(SequenceID(0), reserving: 8)
            let logits = try model.forward(
                [Row(sequence: SequenceID(0), start: 0, count: tokens.count)], tokens: tokens, cache: cache)
            let values = Array(logits[0])
            if reference.isEmpty { reference = values }
            let size = reference.reduce(Float(0)) { $0 + $1 * $1 }
            let error = zip(values, reference).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            #expect(size > 0 && (error / size).squareRoot() <= bounds[form] ?? 0.5, "\(form)")

            // What is there is not made again.
            let before = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
            _ = try BenchmarkModel.tiny.make(form, in: folder)
            let after = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
            #expect(before != nil && before == after)
        }
    }

    @Test func theLargeModelHas430MillionParameters() {
        let shapes = BenchmarkModel.llama430M.configuration.tensorShapes
        let count = shapes.reduce(0) { $0 + $1.shape.reduce(1, *) }
        #expect(count > 425_000_000 && count < 435_000_000)
    }

    @Test func peaksAreThereWhereTheProcessorHasTheArithmetic() {
        let usual = coppice_cpu_level_in_use()
        defer { coppice_set_cpu_level(usual) }
        for level in [COPPICE_CPU_PORTABLE, COPPICE_CPU_AVX2, COPPICE_CPU_AVX512]
        where level.rawValue <= coppice_cpu_level_available().rawValue {
            coppice_set_cpu_level(level)
            func peak(_ kind: ArithmeticPeak) -> Double? { kind.measure(steps: 1000, repetitions: 2) }
            #expect((peak(.f32) ?? 0) > 0)
            #expect((peak(.bf16) != nil) == (coppice_cpu_has_bf16() == 1))
            #expect((peak(.int8) != nil) == (coppice_cpu_has_vnni() == 1))
        }
    }

    @Test func operationsOfABurstAreCounted() {
        coppice_set_cpu_level(coppice_cpu_level_available())
        let threads = Double(coppice_thread_count())
        // Sums of a step times lanes times two.
        let lanes: [coppice_cpu_level: Double] = [
            COPPICE_CPU_PORTABLE: 8 * 4, COPPICE_CPU_AVX2: 12 * 8, COPPICE_CPU_AVX512: 16 * 16,
        ]
        let ofStep = 2 * (lanes[coppice_cpu_level_in_use()] ?? 0) * threads
        #expect(coppice_run_arithmetic(COPPICE_ARITHMETIC_F32, 10) == 10 * ofStep)
        if coppice_cpu_has_vnni() == 1 {
            #expect(coppice_run_arithmetic(COPPICE_ARITHMETIC_INT8, 10) == 20 * 16 * 64 * threads)
        }
    }
}

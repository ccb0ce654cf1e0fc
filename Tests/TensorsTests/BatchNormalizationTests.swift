import CoppiceTensors
import Testing

/// The kernels of batch normalization on shapes that fill vectors and blocks, or do not, in both layouts.
extension SerializedByVariant {
    @Suite struct BatchNormalizationTests {
        struct Case: CustomTestStringConvertible, Sendable {
            var shape: [Int]
            var isChannelsLast = false
            var adds = false
            var rectifies = false
            var testDescription: String {
                "\(shape)\(isChannelsLast ? " channels last" : "")\(adds ? " adding" : "")\(rectifies ? " rectified" : "")"
            }
        }

        static let cases: [Case] = [[7, 16, 9, 5], [40, 32, 8, 8], [3, 24, 5, 5], [2, 100, 3, 3], [1, 1, 5, 1]]
            .flatMap { shape in
                [false, true].flatMap { last in
                    [(false, false), (false, true), (true, false), (true, true)].map {
                        Case(shape: shape, isChannelsLast: last, adds: $0.0, rectifies: $0.1)
                    }
                }
            }

        @Test(arguments: cases) func kernelsEqualPrimitives(_ item: Case) {
            let channels = item.shape[1]
            let x = GradientCheck.numbers(item.shape, seed: 1) + 3
            let residual = GradientCheck.numbers(item.shape, from: -2, to: 2, signed: false, seed: 2)
            let weight = GradientCheck.numbers([channels], seed: 3)
            let bias = GradientCheck.numbers([channels], from: -1, to: 1, signed: false, seed: 4)
            let seed = GradientCheck.numbers(item.shape, seed: 5)
            func run(_ type: DataType) -> [Tensor] {
                var inputs = [x, weight, bias, residual].map { $0.converted(to: type).tracked() }
                if item.isChannelsLast { inputs[0] = inputs[0].detached().channelsLast().tracked() }
                let result = inputs[0].batchNormalized(
                    weight: inputs[1], bias: inputs[2], epsilon: 1e-3, adding: item.adds ? inputs[3] : nil,
                    rectifies: item.rectifies)
                if item.isChannelsLast, type == .f32 { #expect(result.output.isChannelsLast) }
                let wanted = Array(inputs.prefix(item.adds ? 4 : 3))
                return [result.output, result.mean, result.variance]
                    + gradients(of: result.output, withRespectTo: wanted, seed: seed.converted(to: type))
            }
            let expected = run(.f64)
            var first: [[Float]]?
            underEveryVariant { variant in
                let found = run(.f32)
                for (index, (own, reference)) in zip(found, expected).enumerated() {
                    #expect(relativeError(own, reference.doubles()) < 3e-5, "\(index), \(variant)")
                }
                first = first ?? found.map { $0.floats() }
            }
            // The same bits for any number of threads.
            var bits: Set<[Float]> = []
            underEveryVariant(threads: [1, 2, 5]) { variant in
                if variant.hasPrefix("variant 2") { bits.insert(run(.f32).flatMap { $0.floats() }) }
            }
            #expect(bits.count <= 1)
        }

        /// Statistics of values far from zero: no cancellation.
        @Test(arguments: [false, true]) func largeMeans(isChannelsLast: Bool) {
            var generator = RandomGenerator(seed: 4)
            let shape = [50, 16, 11, 7]
            var x = Tensor.normal(shape, mean: 1000, using: &generator)
            let exact = x.converted(to: .f64)
            if isChannelsLast { x = x.channelsLast() }
            let ones = Tensor.ones([16])
            underEveryVariant { variant in
                let result = x.batchNormalized(weight: ones, bias: ones, epsilon: 0)
                let mean = exact.mean(axes: [0, 2, 3])
                let variance = exact.variance(axes: [0, 2, 3])
                #expect(relativeError(result.mean, mean.doubles()) < 3e-7, "\(variant)")
                #expect(relativeError(result.variance, variance.doubles()) < 3e-5, "\(variant)")
            }
        }

        /// In use, with given statistics: one pass where nothing is recorded, primitives where something is.
        @Test(arguments: cases) func givenStatistics(_ item: Case) {
            let channels = item.shape[1]
            let x = GradientCheck.numbers(item.shape, seed: 1) + 3
            let residual = GradientCheck.numbers(item.shape, from: -2, to: 2, signed: false, seed: 2)
            let parts = (3..<6).map { GradientCheck.numbers([channels], seed: $0) }
            let variance = GradientCheck.numbers([channels], from: 0.5, to: 2, signed: false, seed: 6)
            func run(_ type: DataType, isRecorded: Bool) -> Tensor {
                var own = ([x, residual, variance] + parts).map { $0.converted(to: type) }
                if item.isChannelsLast { own[0] = own[0].channelsLast() }
                if isRecorded { own[0] = own[0].tracked() }
                return own[0].batchNormalized(
                    weight: own[3], bias: own[4], mean: own[5], variance: own[2], epsilon: 1e-3,
                    adding: item.adds ? own[1] : nil, rectifies: item.rectifies)
            }
            let exact = run(.f64, isRecorded: true)
            #expect(relativeError(run(.f64, isRecorded: false), exact.doubles()) < 1e-14)
            #expect(relativeError(run(.f32, isRecorded: true), exact.doubles()) < 1e-5)
            underEveryVariant { variant in
                let used = run(.f32, isRecorded: false)
                #expect(relativeError(used, exact.doubles()) < 1e-5, "\(variant)")
                #expect(!used.isTracked && used.isChannelsLast || !item.isChannelsLast)
                #expect(withoutRecording { run(.f32, isRecorded: true) }.floats() == used.floats())
            }
        }

        /// The rectifier passes NaN on, as the primitive does, and shares the gradient at zero.
        @Test func rectifierAtZeroAndNaN() {
            let x = Tensor([-1, 1] as [Float], shape: [2, 1]).tracked()
            let bias = Tensor([0] as [Float]).tracked()
            let residual = Tensor([1, 5] as [Float], shape: [2, 1]).tracked()
            // Normalized: -1 and 1; with the residual: 0 and 6.
            let y = x.batchNormalized(
                weight: .ones([1]), bias: bias, epsilon: 0, adding: residual, rectifies: true
            ).output
            #expect(y.floats() == [0, 6])
            let slopes = gradients(of: y.sum(), withRespectTo: [residual, bias])
            #expect(slopes[0].floats() == [0.5, 1] && slopes[1].floats() == [1.5])
            let bad = Tensor([.nan, 1] as [Float], shape: [2, 1])
            let passed = x.batchNormalized(
                weight: .ones([1]), bias: .zeros([1]), epsilon: 0, adding: bad, rectifies: true
            ).output.floats()
            #expect(passed[0].isNaN && passed[1] == 2)
        }
    }
}

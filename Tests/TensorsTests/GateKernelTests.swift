import CoppiceTensors
import Testing

/// Gates in one pass with what surrounds them, against the same in separate operations of f64: shapes that fill blocks and
/// vectors or do not, both layouts, factors of zero among them.
extension SerializedByVariant {
    @Suite struct GateKernelTests {
        struct Case: CustomTestStringConvertible, Sendable {
            var shape: [Int]
            var isChannelsLast: Bool
            var adds: Bool
            var testDescription: String { "\(shape)\(isChannelsLast ? " channels last" : "")\(adds ? " adding" : "")" }

            func laid(_ x: Tensor) -> Tensor { isChannelsLast ? x.channelsLast() : x }
        }

        static let cases: [Case] = [[3, 16, 33, 35], [2, 64, 20, 15], [40, 32, 8, 8], [3, 24, 5, 5], [5, 7, 1, 1]]
            .flatMap { shape in
                [false, true].flatMap { last in
                    [false, true].map { Case(shape: shape, isChannelsLast: last, adds: $0) }
                }
            }

        /// Zeros, ones and numbers between.
        static func factors(_ shape: [Int]) -> Tensor {
            let numbers = GradientCheck.numbers(shape, from: -0.6, to: 1.6, signed: false, seed: 8)
            return numbers.clamped(0, 1)
        }

        private func check(
            _ inputs: [Tensor], _ kernel: ([Tensor]) -> Tensor, _ separate: ([Tensor]) -> Tensor,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            func run(_ type: DataType, _ function: ([Tensor]) -> Tensor) -> [Tensor] {
                let tracked = inputs.map { $0.converted(to: type).tracked() }
                let y = function(tracked)
                let seed = GradientCheck.numbers(y.shape, seed: 5).converted(to: type)
                return [y] + gradients(of: y, withRespectTo: tracked, seed: seed)
            }
            let expected = run(.f64, separate)
            var bits: [Set<[Float]>] = [[], [], []]
            underEveryVariant(threads: [1, 3]) { variant in
                let found = run(.f32, kernel)
                for (index, (own, reference)) in zip(found, expected).enumerated() {
                    #expect(own.shape == reference.shape, sourceLocation: sourceLocation)
                    let error = relativeError(own, reference.doubles())
                    #expect(error < 3e-5, "\(index), \(variant)", sourceLocation: sourceLocation)
                }
                let level = variant.dropFirst("variant ".count).prefix { $0 != "," }
                if let level = Int(level) { bits[level].insert(found.flatMap { $0.floats() }) }
            }
            // The same bits for any number of threads.
            #expect(bits.allSatisfy { $0.count <= 1 }, sourceLocation: sourceLocation)
        }

        @Test(arguments: cases, [true, false]) func normalization(_ item: Case, isOfChannels: Bool) {
            let (images, channels) = (item.shape[0], item.shape[1])
            let inputs =
                [
                    GradientCheck.numbers(item.shape, seed: 1) + 3, GradientCheck.numbers([channels], seed: 3),
                    GradientCheck.numbers([channels], from: -1, to: 1, signed: false, seed: 4),
                    Self.factors(isOfChannels ? [images, channels] : [images, 1]),
                ] + (item.adds ? [GradientCheck.numbers(item.shape, seed: 2)] : [])
            check(inputs) {
                let y = item.laid($0[0]).batchNormalized(
                    weight: $0[1], bias: $0[2], epsilon: 1e-3, times: $0[3], adding: item.adds ? $0[4] : nil,
                    rectifies: true
                ).output
                if item.isChannelsLast { #expect(y.isChannelsLast) }
                return y
            } _: {
                let own = $0[0].batchNormalized(weight: $0[1], bias: $0[2], epsilon: 1e-3).output
                let factors = $0[3].reshaped($0[3].shape + [1, 1])
                return item.adds ? (own * factors + $0[4]).relu() : own.relu() * factors
            }
        }

        /// With given statistics, as in use.
        @Test(arguments: cases) func normalizationInUse(_ item: Case) {
            let channels = item.shape[1]
            let x = GradientCheck.numbers(item.shape, seed: 1)
            let residual = GradientCheck.numbers(item.shape, seed: 2)
            let parts = (3..<7).map { GradientCheck.numbers([channels], signed: false, seed: $0) }
            let factors = Self.factors(Array(item.shape.prefix(2)))
            func run(_ type: DataType, isRecorded: Bool) -> Tensor {
                let own = ([item.laid(x), residual, factors] + parts).map { $0.converted(to: type) }
                return (isRecorded ? own[0].tracked() : own[0]).batchNormalized(
                    weight: own[3], bias: own[4], mean: own[5], variance: own[6], epsilon: 1e-3, times: own[2],
                    adding: item.adds ? own[1] : nil, rectifies: true)
            }
            let exact = run(.f64, isRecorded: true)
            #expect(relativeError(run(.f64, isRecorded: false), exact.doubles()) < 1e-14)
            underEveryVariant { variant in
                #expect(relativeError(run(.f32, isRecorded: false), exact.doubles()) < 1e-5, "\(variant)")
            }
        }

        @Test(arguments: cases.filter(\.adds)) func scaledSum(_ item: Case) {
            let inputs = [
                GradientCheck.numbers(item.shape, seed: 1), Self.factors([item.shape[0], 1]),
                GradientCheck.numbers(item.shape, seed: 2),
            ]
            check(inputs) {
                let y = item.laid($0[0]).scaled(by: $0[1], adding: $0[2])
                if item.isChannelsLast { #expect(y.isChannelsLast) }
                return y
            } _: {
                $0[0] * $0[1].reshaped([-1, 1, 1, 1]) + $0[2]
            }
        }

        @Test(arguments: cases.filter(\.adds)) func means(_ item: Case) {
            check([GradientCheck.numbers(item.shape, seed: 1)]) {
                item.laid($0[0]).imageMeans()
            } _: {
                $0[0].mean(axes: [2, 3])
            }
        }

        /// Open gates change nothing, to the bit.
        @Test(arguments: cases) func factorsOfOne(_ item: Case) {
            let x = item.laid(GradientCheck.numbers(item.shape, seed: 1).converted(to: .f32))
            let residual = item.adds ? GradientCheck.numbers(item.shape, seed: 2).converted(to: .f32) : nil
            let parts = [3, 4].map { GradientCheck.numbers([item.shape[1]], seed: $0).converted(to: .f32) }
            func run(_ factors: Tensor?) -> [Float] {
                x.batchNormalized(
                    weight: parts[0], bias: parts[1], epsilon: 1e-3, times: factors, adding: residual, rectifies: true
                ).output.floats()
            }
            underEveryVariant { #expect(run(nil) == run(.ones([item.shape[0], 1])), "\($0)") }
        }
    }
}

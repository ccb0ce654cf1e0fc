import CoppiceNetworks
import CoppiceTensors
import Testing

extension SerializedByVariant {
    @Suite struct OptimizerTests {
        /// Three steps of SGD against its definition in f64.
        @Test(arguments: [(0.9, 0.01, false), (0.9, 0.01, true), (0, 0, false), (0.5, 0, true)])
        func momentum(momentum: Double, decay: Double, looksAhead: Bool) {
            let optimizer = SGD(momentum: momentum, weightDecay: decay, looksAhead: looksAhead)
            for count in [1, 37, 20_000] {
                let start = GradientCheck.numbers([count], seed: 1)
                var (p, v) = (start.doubles(), [Double](repeating: 0, count: count))
                let slopes = (0..<3).map { GradientCheck.numbers([count], seed: 10 + $0) }
                for slope in slopes {
                    for (i, g) in slope.doubles().enumerated() {
                        let d = 0.5 * g + decay * p[i]
                        v[i] = momentum * v[i] + d
                        p[i] -= 0.1 * (looksAhead ? d + momentum * v[i] : v[i])
                    }
                }
                underEveryVariant { variant in
                    let parameter = Parameter("p", start.converted(to: .f32))
                    var velocity = Tensor.zeros([count])
                    for slope in slopes {
                        optimizer.update(
                            parameter, gradient: slope.converted(to: .f32), velocity: &velocity, learningRate: 0.1,
                            gradientScale: 0.5)
                    }
                    #expect(relativeError(parameter.wrappedValue, p) < 1e-6, "\(variant)")
                    #expect(relativeError(velocity, v) < 1e-6, "\(variant)")
                    #expect(parameter.wrappedValue.isTracked)
                }
            }
        }

        @Test func normOfSeveralTensors() {
            let parts = [[3], [0], [40, 500], [1], [17_000_000]].map { shape in
                shape[0] > 1_000_000 ? Tensor.full(shape, 0.001) : GradientCheck.numbers(shape).converted(to: .f32)
            }
            let exact = parts.reduce(0) { $0 + $1.converted(to: .f64).square().sum().doubles()[0] }.squareRoot()
            var found: Set<Double> = []
            underEveryVariant(threads: [1, 2, 5]) { variant in
                let norm = globalNorm(parts)
                #expect(abs(norm - exact) < 1e-6 * exact, "\(variant)")
                if variant.hasPrefix("variant 2") { found.insert(norm) }
            }
            #expect(found.count <= 1)
            #expect(globalNorm([]) == 0)
            #expect(globalNorm([Tensor([3, .infinity] as [Float])]) == .infinity)
            #expect(globalNorm([Tensor([3, .nan] as [Float])]).isNaN)
            #expect(globalNorm([Tensor([3, 4] as [Double])]) == 5)
        }
    }
}

import CKernels
import CoppiceTensors
import Foundation
import Testing

@Suite("Layer kernels", .serialized)
struct LayerKernelTests {
    @Test("Norm, gate and sums equal f64 for every length around a vector")
    func layers() {
        var generator = RandomGenerator(seed: 3)
        for count in [1, 2, 15, 16, 17, 63, 64, 65, 130, 1030] {
            let x = (0..<2 * count).map { _ in Float.random(in: -3...3, using: &generator) }
            let y = (0..<2 * count).map { _ in Float.random(in: -3...3, using: &generator) }
            atEveryLevel { level in
                var normed = [Float](repeating: 0, count: 2 * count)
                coppice_decoder_rms_norm(x, count, y, 1e-5, &normed, count, 2, count)
                var gate = x
                coppice_decoder_silu_gate(&gate, y, 2 * count)
                var sums = [0.0, 0.0]
                coppice_decoder_log_sum_exp(x, count, 2, count, &sums)
                for row in 0..<2 {
                    let part = x[row * count..<(row + 1) * count].map(Double.init)
                    let scale = 1 / (part.reduce(0) { $0 + $1 * $1 } / Double(count) + 1e-5).squareRoot()
                    let sum = log(part.reduce(0) { $0 + exp($1) })
                    #expect(abs(sums[row] - sum) < 1e-5, "log-sum-exp of \(count) at level \(level)")
                    for i in 0..<count {
                        let norm = part[i] * scale * Double(y[i])
                        #expect(
                            abs(Double(normed[row * count + i]) - norm) < 2e-5, "norm of \(count) at level \(level)")
                        let gated = part[i] / (1 + exp(-part[i])) * Double(y[row * count + i])
                        #expect(abs(Double(gate[row * count + i]) - gated) < 2e-5, "gate of \(count) at level \(level)")
                    }
                }
            }
        }
    }

    @Test("Large scores neither overflow nor lose the largest")
    func extremes() {
        atEveryLevel { _ in
            var sum = 0.0
            let large: [Float] = [1000, 999, -1000, -.infinity]
            coppice_decoder_log_sum_exp(large, 4, 1, 4, &sum)
            #expect(abs(sum - (1000 + log(1 + exp(-1.0)))) < 1e-4)
            coppice_decoder_log_sum_exp([Float.nan, 1], 2, 1, 2, &sum)
            #expect(sum.isNaN)
            var gate: [Float] = [-200, 200, 0, -.infinity.nextUp]
            coppice_decoder_silu_gate(&gate, [1, 1, 1, 1], 4)
            #expect(abs(gate[0]) < 1e-30 && gate[1] == 200 && gate[2] == 0)
        }
    }
}

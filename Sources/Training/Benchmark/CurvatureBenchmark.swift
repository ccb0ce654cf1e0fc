import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Dispatch

/// The speed of ``InverseFisher`` on random gradients, beside that of the machine's f32 matrix product.
public enum CurvatureBenchmark {
    /// What was measured: the least seconds of some rounds, in each of which everything took its turn.
    public struct Measurement: Sendable, Hashable {
        /// d.
        public var weights: Int
        /// m.
        public var gradients: Int
        /// Of one product of f32 matrices of ``CurvatureBenchmark/productSize`` rows and columns.
        public var matrixProductSeconds: Double
        /// Of the Gram matrix alone.
        public var gramSeconds: Double
        /// Of making the inverse: Gram matrix and factor.
        public var precomputeSeconds: Double
        /// Of the diagonal of F⁻¹.
        public var diagonalSeconds: Double
        /// Of one F⁻¹x.
        public var productSeconds: Double
        /// Of ``CurvatureBenchmark/batchSize`` F⁻¹x at once.
        public var batchSeconds: Double

        /// Operations a second of the matrix product.
        public var matrixProductRate: Double {
            let size = Double(CurvatureBenchmark.productSize)
            return 2 * size * size * size / matrixProductSeconds
        }

        /// Operations a second of the precomputation as the paper counts them, 2 m² d.
        public var precomputeRate: Double { operations / precomputeSeconds }

        /// The same of the Gram matrix alone.
        public var gramRate: Double { operations / gramSeconds }

        private var operations: Double { 2 * Double(gradients) * Double(gradients) * Double(weights) }

        /// The measurement with stable keys.
        public var json: JSON {
            .object([
                "weights": .integer(weights), "gradients": .integer(gradients),
                "matmul_gflop_s": .number(matrixProductRate / 1e9), "gram_gflop_s": .number(gramRate / 1e9),
                "precompute_gflop_s": .number(precomputeRate / 1e9),
                "precompute_share": .number(precomputeRate / matrixProductRate),
                "gram_ms": .number(gramSeconds * 1e3), "precompute_ms": .number(precomputeSeconds * 1e3),
                "diagonal_ms": .number(diagonalSeconds * 1e3), "product_ms": .number(productSeconds * 1e3),
                "batch": .integer(CurvatureBenchmark.batchSize), "batch_ms": .number(batchSeconds * 1e3),
            ])
        }
    }

    /// Rows and columns of the matrices whose product is measured.
    public static let productSize = 1_536

    /// Vectors of the products that are measured together.
    public static let batchSize = 8

    /// - Parameters:
    ///   - weights: d.
    ///   - gradients: m.
    ///   - rounds: measurements of each, of which the fastest counts.
    /// - Throws: what the inverse throws.
    public static func measure(weights: Int, gradients: Int, rounds: Int = 5) throws -> Measurement {
        precondition(weights > 0 && gradients > 0 && rounds > 0, "nothing to measure")
        var generator = RandomGenerator(seed: 1)
        let square = Tensor.normal([productSize, productSize], using: &generator)
        let rows = Tensor.normal([gradients, weights], using: &generator) / Double(weights).squareRoot()
        let vector = Tensor.normal([weights], using: &generator)
        let vectors = Tensor.normal([batchSize, weights], using: &generator)
        var least = [Double](repeating: .infinity, count: 6)
        func time(_ place: Int, _ body: () throws -> Void) rethrows {
            let start = DispatchTime.now().uptimeNanoseconds
            try body()
            least[place] = min(least[place], Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9)
        }
        for _ in 0..<rounds {
            time(0) { _ = square.matmul(square) }
            time(1) { _ = rows.gramMatrix() }
            var inverse: InverseFisher?
            try time(2) { inverse = try InverseFisher(gradients: rows, dampening: 1e-5) }
            guard let inverse else { continue }
            time(3) { _ = inverse.diagonal() }
            try time(4) { _ = try inverse.product(vector) }
            try time(5) { _ = try inverse.product(vectors) }
        }
        return Measurement(
            weights: weights, gradients: gradients, matrixProductSeconds: least[0], gramSeconds: least[1],
            precomputeSeconds: least[2], diagonalSeconds: least[3], productSeconds: least[4],
            batchSeconds: least[5])
    }
}

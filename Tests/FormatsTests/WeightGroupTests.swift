import CoppiceFormats
import CoppiceTensors
import Testing

/// Weights of several formats that meet the same activations together.
@Suite(.serialized) struct WeightGroupTests {
    /// The products of a group, and of its weights one by one, `[weights][rows · outputs]`.
    private static func products(_ weights: [any WeightFormat], rows: Int) -> (together: [[Float]], alone: [[Float]]) {
        let columns = weights[0].columns
        let x = Samples.matrix(rows, columns, seed: 11)
        var outputs = weights.map { [Float](repeating: .nan, count: rows * $0.rows) }
        x.withElements(Float.self) { input in
            guard let from = input.baseAddress else { return }
            let buffers = outputs.map { UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.count + 1) }
            let destinations = zip(weights, buffers).compactMap { weight, buffer in
                buffer.baseAddress.map { OutputRows($0, rows: rows, columns: weight.rows, stride: weight.rows) }
            }
            WeightGroup(weights).multiply(
                ActivationRows(from, rows: rows, columns: columns, stride: columns), into: destinations)
            for index in outputs.indices {
                outputs[index] = Array(buffers[index][..<outputs[index].count])
                buffers[index].deallocate()
            }
        }
        return (outputs, weights.map { $0.multiply(x).floats() })
    }

    @Test func productsAreThoseOfEachWeight() throws {
        let columns = 256
        func matrix(_ rows: Int) -> Tensor { Samples.matrix(rows, columns, seed: UInt64(rows)) }
        let integers = IntegerQuantization(bits: 4, groupSize: 32)
        let halved = Samples.floats(33 * columns, seed: 2).enumerated().map { $0 % 2 == 0 ? 0 : $1 }
        let weights: [any WeightFormat] = [
            try DenseWeight(matrix(70).converted(to: .bf16)),
            try IntegerGroupWeight(quantizing: matrix(1), integers),
            try BlockWeight(encoding: matrix(129), as: .q6_k),
            try BitmaskSparseWeight(packing: Tensor(halved, shape: [33, columns]), values: .integer(integers)),
            try DenseWeight(matrix(3)),
        ]
        atEveryLevel { level in
            for rows in [1, 3, 8, 9, 40] {
                let (together, alone) = Self.products(weights, rows: rows)
                for (index, weight) in weights.enumerated() {
                    #expect(
                        together[index].map(\.bitPattern) == alone[index].map(\.bitPattern),
                        "\(weight.label) × \(rows) at level \(level.rawValue)")
                }
            }
        }
    }

    @Test func aGroupOfOneIsTheWeight() throws {
        let weight = try DenseWeight(Samples.matrix(12, 7, seed: 1))
        let (together, alone) = Self.products([weight], rows: 2)
        #expect(together == alone)
    }
}

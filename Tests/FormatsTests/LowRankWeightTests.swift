import CoppiceFormats
import CoppiceTensors
import Testing

/// Products of two factors, with and without a residual.
@Suite(.serialized) struct LowRankWeightTests {
    private static let values: [PackedValueType] = [
        .float(.f32), .float(.bf16), .integer(IntegerQuantization(bits: 8)),
        .integer(IntegerQuantization(bits: 4, groupSize: 32, isSymmetric: false)),
    ]

    /// A matrix of the given rank, and noise.
    private static func matrix(_ rows: Int, _ columns: Int, rank: Int, noise: Double = 0) -> Tensor {
        let product = Samples.matrix(rows, rank, seed: 3).matmul(Samples.matrix(rank, columns, seed: 4))
        return product + Samples.matrix(rows, columns, seed: 5) * noise
    }

    @Test(arguments: values) func productsAreThoseOfTheFactors(values: PackedValueType) throws {
        for (rows, columns, rank) in [(1, 1, 1), (7, 48, 3), (33, 208, 7), (64, 112, 32), (5, 4097, 2)] {
            let source = Self.matrix(rows, columns, rank: rank)
            let pruned = CompressedWeightTests.sparse(rows, columns, keepingEvery: 3)
            let factored = try LowRankWeight(factoring: source, .rank(rank), values: values)
            #expect(factored.rank == min(rank, min(rows, columns)))
            let both = LowRankWeight(
                left: factored.left, right: factored.right,
                residual: try BitmaskSparseWeight(packing: pruned, values: .float(.f32)))
            for weight in [factored, both] {
                let dense = weight.dense()
                var expected = factored.left.dense().matmul(factored.right.dense())
                if weight.residual != nil { expected = expected + pruned }
                #expect(zip(dense.floats(), expected.floats()).allSatisfy { abs($0 - $1) <= 1e-5 * (1 + abs($1)) })
                for batch in [1, 3, 9, 300] { try Self.check(weight, dense, batch) }
                var row = [Float](repeating: .nan, count: columns)
                weight.copyRow(rows - 1, into: &row)
                for (a, b) in zip(row, dense.floats()[((rows - 1) * columns)...]) {
                    #expect(abs(a - b) <= 1e-5 * (1 + abs(b)))
                }
            }
        }
    }

    /// Each output against an f64 product, within the documented bound.
    private static func check(_ weight: LowRankWeight, _ dense: Tensor, _ batch: Int) throws {
        let (rows, columns, rank) = (weight.rows, weight.columns, weight.rank)
        let w = dense.floats(), u = weight.left.dense().floats(), v = weight.right.dense().floats()
        let x = Samples.matrix(batch, columns, seed: 9)
        let y = weight.multiply(x).floats(), xs = x.floats()
        for i in Set([0, batch / 2, batch - 1]) {
            let a = xs[(i * columns)..<((i + 1) * columns)].map(Double.init)
            let h = (0..<rank).map { k in (0..<columns).reduce(0.0) { $0 + Double(v[k * columns + $1]) * a[$1] } }
            func largest(_ values: [Double], _ place: Int) -> Double {
                values[(place / 32 * 32)..<min(values.count, place / 32 * 32 + 32)].map(abs).max() ?? 0
            }
            let largestX = (0..<columns).map { largest(a, $0) }
            // h is itself off by what x was rounded by, which may raise the largest of a block.
            let offX = (0..<rank).map { k in
                (0..<columns).reduce(0.0) { $0 + abs(Double(v[k * columns + $1])) * largestX[$1] / 254 }
            }
            for r in 0..<rows {
                var bound = 0.0, magnitude = 0.0, sum = 0.0
                for k in 0..<rank {
                    let factor = abs(Double(u[r * rank + k]))
                    bound += factor * (offX[k] + (largest(h, k) + largest(offX, k)) / 254)
                    magnitude += factor * (0..<columns).reduce(0.0) { $0 + abs(Double(v[k * columns + $1]) * a[$1]) }
                }
                for c in 0..<columns {
                    sum += Double(w[r * columns + c]) * a[c]
                    magnitude += abs(Double(w[r * columns + c]) * a[c])
                }
                let rounds = weight.left.label.hasPrefix("int")
                let error = abs(Double(y[i * rows + r]) - sum)
                #expect(error <= (rounds ? bound * 1.01 : 0) + 1e-5 * magnitude + 1e-6, "\(weight.label)")
            }
        }
    }

    @Test func ranksAreThoseAskedFor() throws {
        let source = Self.matrix(40, 60, rank: 5)
        #expect(try LowRankWeight(factoring: source, .energy(0.999999), values: .float(.f32)).rank == 5)
        #expect(try LowRankWeight(factoring: source, .energy(1e-9), values: .float(.f32)).rank == 1)
        #expect(try LowRankWeight(factoring: source, .ratio(0.5), values: .float(.f32)).rank == 12)
        #expect(try LowRankWeight(factoring: source, .ratio(1e-6), values: .float(.f32)).rank == 1)
        #expect(try LowRankWeight(factoring: source, .rank(100), values: .float(.f32)).rank == 40)
        let exact = try LowRankWeight(factoring: source, .rank(5), values: .float(.f32)).dense().floats()
        #expect(zip(exact, source.floats()).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    /// The error is the singular values that are left out (Eckart-Young).
    @Test func theApproximationIsTheBestOfItsRank() throws {
        let source = Self.matrix(30, 50, rank: 8, noise: 0.3)
        let singular = try source.singularValues().doubles()
        for rank in [1, 4, 8, 20] {
            let weight = try LowRankWeight(factoring: source, .rank(rank), values: .float(.f32))
            let difference = (weight.dense() - source).floats().reduce(0.0) { $0 + Double($1) * Double($1) }
            let expected = singular.dropFirst(rank).reduce(0.0) { $0 + $1 * $1 }
            #expect(abs(difference - expected) <= 1e-4 * (expected + 1e-3))
        }
    }

    private static func examples() throws -> [LowRankWeight] {
        let source = matrix(12, 80, rank: 6, noise: 0.1)
        var result = try values.map { try LowRankWeight(factoring: source, .rank(6), values: $0) }
        result.append(
            LowRankWeight(
                left: result[0].left, right: result[2].right,
                residual: try SemiStructuredWeight(
                    packing: CompressedWeightTests.pruned(12, 80, kept: 2, of: 4), kept: 2, of: 4,
                    values: .float(.bf16))))
        return result
    }

    @Test func storedWeightsComeBack() throws {
        for weight in try Self.examples() {
            let back = try WeightFormats.decode(weight.stored())
            #expect(back.label == weight.label && back.byteCount == weight.byteCount)
            #expect(back.dense().floats() == weight.dense().floats())
            #expect(weight.stored().tensors.keys.allSatisfy { !$0.contains(".") }, "parts end at a weight's last dot")
        }
        #expect(try Self.examples()[4].label == "low-rank6-f32,int8+sparse-2:4-bf16")
    }

    @Test func hostilePartsAreNamed() throws {
        for weight in try Self.examples() {
            let good = weight.stored()
            for part in good.tensors.keys {
                var bad = good
                bad.tensors[part] = nil
                expectBadData("weight.") { try WeightFormats.decode(bad) }
                bad.tensors[part] = Tensor.zeros([3], dataType: good.tensors[part]?.dataType ?? .u8)
                expectBadData("weight.") { try WeightFormats.decode(bad) }
            }
            for option in good.options.keys {
                var bad = good
                bad.options[option] = "many"
                expectBadData("weight.") { try WeightFormats.decode(bad) }
                bad.options[option] = nil
                expectBadData("weight.") { try WeightFormats.decode(bad) }
            }
            var bad = good
            bad.options["rank"] = "7"
            expectBadData("weight.left") { try WeightFormats.decode(bad) }
            for format in ["low-rank", "column-permuted"] {
                bad = good
                bad.options["right_format"] = format
                expectBadData("expected a format that is not made of others") { try WeightFormats.decode(bad) }
            }
        }
        expectBadData("[0, 2]") {
            try LowRankWeight(factoring: Tensor([1, 2, .infinity, 4], shape: [1, 4]), .rank(1), values: .float(.f32))
        }
    }
}

import CoppiceFormats
import CoppiceTensors
import Testing

/// Weights read from a pool of shared parameters.
@Suite(.serialized) struct SharedPoolWeightTests {
    private static func pool(_ count: Int) -> Tensor { Tensor(Samples.floats(count, seed: 6)) }

    @Test func productsAreThoseOfTheDenseMatrix() throws {
        for (rows, columns) in [(1, 1), (7, 32), (33, 33), (64, 112), (5, 4097), (20, 500)] {
            for size in [16, 48, 1024] where size <= max(16, rows * columns) {
                let weight = SharedPoolWeight(
                    rows: rows, columns: columns, pool: Self.pool(size), scale: 0.7, seed: UInt64(size))
                try expectProducts(weight, batches: [1, 2, 3, 8, 9, 17, 40])
            }
        }
        let empty = SharedPoolWeight(rows: 3, columns: 0, pool: Self.pool(16), scale: 1, seed: 1)
        #expect(empty.multiply(Tensor.zeros([2, 0])).floats() == [Float](repeating: 0, count: 6))
    }

    /// Entries are shared equally often, and within a piece by nobody: the mapping of the paper.
    @Test func thePoolIsSharedEqually() throws {
        let (rows, columns, size) = (30, 100, 208)
        // An entry's number as its value shows which entry an element reads; the sign is a hash.
        let weight = SharedPoolWeight(
            rows: rows, columns: columns, pool: Tensor((0..<size).map { Float($0 + 1) }), scale: 1, seed: 11)
        let read = weight.dense().floats()
        var loads = [Int](repeating: 0, count: size)
        for value in read { loads[Int(abs(value)) - 1] += 1 }
        #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 1)
        var rotations: Set<Int> = []
        for piece in stride(from: 0, to: read.count, by: size) {
            let places = read[piece..<min(piece + size, read.count)].map { Int(abs($0)) - 1 }
            #expect(Set(places).count == places.count, "two weights of a piece share an entry")
            #expect(places[0] % SharedPoolWeight.line == 0)
            #expect(places.indices.dropLast().allSatisfy { places[$0 + 1] == (places[$0] + 1) % size })
            rotations.insert(places[0])
        }
        #expect(rotations.count > 4)
        let minus = read.count { $0 < 0 }
        #expect(abs(Double(minus) / Double(read.count) - 0.5) < 0.05)
        let other = SharedPoolWeight(
            rows: rows, columns: columns, pool: weight.pool, scale: 1, seed: 12
        ).dense().floats()
        #expect(other != read)
    }

    @Test func aPoolAsLargeAsTheMatrixIsTheMatrix() throws {
        let source = Samples.matrix(16, 40, seed: 2)
        let whole = try SharedPoolWeight(fitting: source, poolSize: 640, seed: 3)
        #expect(whole.dense().floats() == source.floats())
        #expect(whole.byteCount == 640 * 4 + 4)
    }

    /// The fit is the least squares one: what is left is orthogonal to every entry.
    @Test func theFitIsTheClosest() throws {
        let source = Samples.matrix(24, 50, seed: 2)
        let weight = try SharedPoolWeight(fitting: source, poolSize: 100, seed: 3)
        #expect(weight.pool.count == 112)
        let error = (weight.dense() - source).floats().reduce(0.0) { $0 + Double($1) * Double($1) }
        for entry in [0, 17, 111] {
            for change: Float in [-0.1, 0.1] {
                var pool = weight.pool.floats()
                pool[entry] += change
                let moved = SharedPoolWeight(rows: 24, columns: 50, pool: Tensor(pool), scale: 1, seed: 3)
                let other = (moved.dense() - source).floats().reduce(0.0) { $0 + Double($1) * Double($1) }
                #expect(other > error)
            }
        }
    }

    @Test func freshWeightsHaveTheDeviationAskedFor() {
        let weight = SharedPoolWeight(initializing: 200, 300, poolSize: 6000, standardDeviation: 0.2, seed: 5)
        let values = weight.dense().floats()
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(values.count)
        #expect(abs(mean) < 0.005 && abs(square.squareRoot() - 0.2) < 0.01)
    }

    @Test func storedWeightsComeBackAndHostileOnesAreNamed() throws {
        let weight = SharedPoolWeight(rows: 9, columns: 33, pool: Self.pool(48), scale: 0.5, seed: .max)
        let good = weight.stored()
        let back = try WeightFormats.decode(good)
        #expect(back.label == "shared-pool48" && back.byteCount == weight.byteCount)
        #expect(back.dense().floats() == weight.dense().floats())
        for part in ["pool", "scale"] {
            var bad = good
            bad.tensors[part] = nil
            expectBadData("weight.\(part)") { try WeightFormats.decode(bad) }
            for count in [0, 3] {
                bad.tensors[part] = Tensor.zeros([count])
                expectBadData("weight.\(part)") { try WeightFormats.decode(bad) }
            }
            bad.tensors[part] = Tensor.zeros([16], dataType: .u8)
            expectBadData("weight.\(part)") { try WeightFormats.decode(bad) }
        }
        var bad = good
        bad.tensors["scale"] = Tensor([Float.nan])
        expectBadData("weight.scale") { try WeightFormats.decode(bad) }
        for seed in ["-1", "many", "18446744073709551616"] {
            bad = good
            bad.options["seed"] = seed
            expectBadData("options.seed") { try WeightFormats.decode(bad) }
        }
        bad = good
        bad.tensors["pool"] = Tensor.zeros([4096])
        expectBadData("at most 304") { try WeightFormats.decode(bad) }
    }
}

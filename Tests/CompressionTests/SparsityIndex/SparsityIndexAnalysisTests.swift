import CKernels
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation
import Testing

/// The index of stored models: every scope against the index of the same numbers in memory.
@Suite struct SparsityIndexAnalysisTests {
    private let folder: TemporaryFolder
    private let first: Tensor
    private let second: Tensor

    init() throws {
        folder = try TemporaryFolder()
        var generator = SeededGenerator(seed: 21)
        first = generator.matrix(7, 30)
        // A quarter of zeros, and a row of nothing else.
        let numbers = generator.matrix(4 * 3, 9).floats().enumerated().map {
            $0.offset % 4 == 0 || $0.offset / 27 == 2 ? 0 : $0.element
        }
        second = Tensor(numbers, shape: [4, 3, 3, 3])
    }

    private func stored(_ change: (Tensor) -> Tensor = { $0 }) throws -> StoredWeights {
        let path = folder.path + "/weights.safetensors"
        try SafetensorsWriter.write(
            [("first", change(first)), ("kernels", second), ("bias", .ones([7])), ("steps", Tensor([1, 2, 3]))],
            to: path)
        return try StoredWeights.open(path)
    }

    @Test func everyScopeIsTheIndexOfItsNumbers() throws {
        let weights = try stored()
        #expect(weights.matrices.map(\.name).sorted() == ["first", "kernels"])
        let nonZeros = Tensor(second.floats().filter { $0 != 0 })
        for index in [PQIndex.gentle, .aggressive, try PQIndex(p: 0.3, q: 1.5)] {
            var analysis = SparsityIndexAnalysis(index)
            analysis.measuresGini = true
            let report = try analysis.run(weights)
            let matrices = Dictionary(uniqueKeysWithValues: report.matrices.map { ($0.name, $0.whole) })
            let own = try #require(matrices["first"]), kernels = try #require(matrices["kernels"])
            #expect(abs(own.index - (try index.value(of: first))) < 1e-9 && own.count == 210 && own.zeros == 0)
            #expect(abs(kernels.index - (try index.value(of: nonZeros))) < 1e-6)
            #expect(kernels.count == nonZeros.count && kernels.count + kernels.zeros == 108)
            #expect(abs(try #require(own.gini) - (try GiniIndex.value(of: first))) < 1e-12)
            #expect(abs(try #require(kernels.gini) - (try GiniIndex.value(of: nonZeros))) < 1e-12)
            let everything = Tensor(first.floats() + nonZeros.floats())
            #expect(abs(report.total.index - (try index.value(of: everything))) < 1e-6)
            #expect(report.total.gini == nil)
            let bound = index.leastRetained(of: own.count, index: own.index) / 210
            #expect(abs(own.leastRetained - bound) < 1e-12)
            analysis.scope = .global
            let global = try analysis.run(weights)
            #expect(global.matrices.isEmpty && abs(global.total.index - report.total.index) < 1e-12)
            #expect(abs(try #require(global.total.gini) - (try GiniIndex.value(of: everything))) < 1e-12)
        }
    }

    @Test func neuronsAreRowsAndFilters() throws {
        var analysis = SparsityIndexAnalysis(.aggressive, scope: .neuron)
        let report = try analysis.run(stored())
        let rows = try #require(report.matrices.first { $0.name == "first" }).neurons
        #expect(try PQIndex.aggressive.values(ofRows: first) == rows.map(\.index) && rows.count == 7)
        let filters = try #require(report.matrices.first { $0.name == "kernels" }).neurons
        #expect(filters.count == 4 && filters[2].count == 0 && filters[2].index == 0 && filters[2].zeros == 27)
        #expect(report.csv.split(separator: "\n").count == 1 + 7 + 4)
        #expect(report.csv.contains("kernels,2,0,27,0.0,0.0,"))
        analysis.countsZeros = true
        let counted = try analysis.run(stored())
        let whole = try #require(counted.matrices.first { $0.name == "kernels" })
        let expected = try PQIndex.aggressive.value(of: second)
        #expect(whole.whole.count == 108 && abs(whole.whole.index - expected) < 1e-9)
        #expect(whole.whole.index > report.matrices.first { $0.name == "kernels" }?.whole.index ?? 1)
        #expect(report.json["weights"]?[0]?["neurons"]?.arrayValue?.count == 7)
    }

    @Test func whatIsNotFiniteIsNamed() throws {
        for value: Float in [.nan, -.infinity] {
            let weights = try stored { matrix in
                var broken = matrix.copied()
                broken.withMutableElements(Float.self) { $0[2 * 30 + 5] = value }
                return broken
            }
            for scope in SparsityIndexAnalysis.Scope.allCases {
                #expect {
                    try SparsityIndexAnalysis(scope: scope).run(weights)
                } throws: { error in
                    "\(error)".hasSuffix(
                        "weights.safetensors: first: element [2, 5] is \(value.isNaN ? "NaN" : "infinite"), expected "
                            + "finite numbers")
                }
            }
        }
    }

    /// Each run of numbers has a scale of its own; none of them is lost.
    @Test func runsOfDifferentScalesAreJoined() throws {
        let run = 1 << 16
        var numbers = [Float](repeating: 0, count: 3 * run + 7)
        for place in 0..<run { numbers[run + place] = 1e-30 * Float(1 + place % 3) }
        for place in 0..<run { numbers[2 * run + place] = 3e20 }
        numbers[3 * run + 1] = 3e20
        let exact = 1 - pow(Double(numbers.count), -1) * Double(run + 1)
        // Equal magnitudes but for some that weigh nothing: 1 − I = (k/d)^(1/p − 1/q).
        #expect(abs(try PQIndex.gentle.value(of: Tensor(numbers)) - exact) < 1e-9)
        let few = Array(numbers[run..<2 * run])
        let scaled = few.map { $0 * 1e30 }
        let (small, large) = (try PQIndex.gentle.value(of: Tensor(few)), try PQIndex.gentle.value(of: Tensor(scaled)))
        #expect(abs(small - large) < 1e-6 && large > 0.01)
    }

    @Test func manyMagnitudesAreSorted() throws {
        var generator = SeededGenerator(seed: 4)
        let numbers = (0..<20_000).map { _ in
            generator.normal() * exp2(Float(Int.random(in: -20...20, using: &generator)))
        }
        let sorted = numbers.map { Double(abs($0)) }.sorted()
        let count = Double(sorted.count)
        let weighted = sorted.enumerated().reduce(0.0) { $0 + (2 * Double($1.offset + 1) - count - 1) * $1.element }
        let expected = weighted / (count * sorted.reduce(0, +))
        #expect(abs(try GiniIndex.value(of: Tensor(numbers)) - expected) < 1e-12)
    }

    @Test func modelsOfAnyKindAreRead() throws {
        let model = try TinyCheckpoint.make(in: folder)
        let report = try SparsityIndexAnalysis().run(StoredWeights.open(model.path))
        let matrices = model.configuration.tensorShapes.filter { $0.shape.count == 2 }
        #expect(report.matrices.map(\.name) == matrices.map(\.name))
        let name = matrices[3].name
        let expected = try PQIndex.gentle.value(of: model.tensor(name).converted(to: .f32))
        #expect(abs(report.matrices[3].whole.index - expected) < 1e-9)
        let path = folder.path + "/lenet.safetensors"
        try VisionCheckpoint.write(VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1), file: path)
        #expect(try StoredWeights.open(path).matrices.map(\.name) == ["fc1.weight", "fc2.weight", "fc3.weight"])
        let empty = folder.path + "/none.safetensors"
        try SafetensorsWriter.write([("bias", Tensor.ones([3]))], to: empty)
        #expect(throws: CoppiceError.self) { try StoredWeights.open(empty) }
    }
}

import CKernels
import CoppiceCompression
import CoppiceTensors
import Foundation
import Testing

@Suite struct CalibrationWindowsTests {
    @Test func windowsAreRunsOfTheTextAndFollowTheSeed() throws {
        let tokens = (0..<1000).map { $0 * 3 }
        let windows = try CalibrationWindows(tokens: tokens, count: 50, length: 16, seed: 5)
        #expect(windows.windows.count == 50 && windows.tokenCount == 800)
        for window in windows.windows {
            #expect(window.count == 16)
            #expect(zip(window, window.dropFirst()).allSatisfy { $1 - $0 == 3 })
        }
        #expect(Set(windows.windows.map { $0[0] }).count > 30)
        #expect(try CalibrationWindows(tokens: tokens, count: 50, length: 16, seed: 5) == windows)
        #expect(try CalibrationWindows(tokens: tokens, count: 50, length: 16, seed: 6) != windows)
        #expect(try CalibrationWindows(tokens: [1, 2, 3], count: 2, length: 3, seed: 0).windows == [[1, 2, 3], [1, 2, 3]])
    }

    @Test func aTextShorterThanAWindowIsRefused() {
        #expect {
            _ = try CalibrationWindows(tokens: [1, 2], count: 1, length: 3, seed: 0, source: "t.txt")
        } throws: { "\($0)".hasPrefix("t.txt: the calibration text has 2 tokens, expected at least one window of 3") }
    }
}

@Suite struct ColumnNormTests {
    @Test func normsDoNotDependOnBatchesOrThreads() {
        var generator = SeededGenerator(seed: 30)
        let x = generator.matrix(37, 700)
        var whole = ColumnNorms()
        whole.add(x)
        let values = x.floats()
        for column in [0, 255, 256, 699] {
            let exact = (0..<37).reduce(0.0) { $0 + Double(values[$1 * 700 + column]) * Double(values[$1 * 700 + column]) }
            #expect(abs(Double(whole.norms[column]) - exact.squareRoot()) < 1e-6 * exact.squareRoot())
        }
        let threads = coppice_thread_count()
        defer { coppice_set_thread_count(threads) }
        for count in [1, 3] {
            coppice_set_thread_count(Int32(count))
            var pieces = ColumnNorms()
            for row in 0..<37 { pieces.add(Tensor(Array(values[(row * 700)..<((row + 1) * 700)]), shape: [1, 1, 700])) }
            #expect(pieces.norms == whole.norms && pieces.rowCount == 37)
        }
    }
}

/// Two blocks, each relu(x Aᵀ) Bᵀ + x: small enough to compute by hand.
private final class ToyBlock: ModelBlock {
    let index: Int
    var matrices: [String: Tensor]
    var matrixNames: [String] { ["\(index).a", "\(index).b"] }

    init(_ index: Int, _ generator: inout SeededGenerator) {
        self.index = index
        matrices = ["\(index).a": generator.matrix(12, 8), "\(index).b": generator.matrix(8, 12)]
    }

    func matrix(_ name: String) -> Tensor { matrices[name] ?? Tensor(uninitialized: [0, 0]) }
    func setMatrix(_ name: String, to values: Tensor) { matrices[name] = values }

    func run(_ hidden: Tensor, observe: ((String, Tensor) -> Void)?) -> Tensor {
        observe?("\(index).a", hidden)
        let inner = product(hidden, matrix("\(index).a"))
        let activated = Tensor(inner.floats().map { max(0, $0) }, shape: inner.shape)
        observe?("\(index).b", activated)
        let out = product(activated, matrix("\(index).b"))
        return Tensor(zip(out.floats(), hidden.floats()).map { $0 + $1 }, shape: hidden.shape)
    }

    private func product(_ x: Tensor, _ w: Tensor) -> Tensor {
        let (n, k, m) = (x.shape[0], x.shape[1], w.shape[0])
        let (a, b) = (x.floats(), w.floats())
        return Tensor(
            (0..<(n * m)).map { i in (0..<k).reduce(Float(0)) { $0 + a[i / m * k + $1] * b[i % m * k + $1] } },
            shape: [n, m])
    }
}

private struct ToyModel: BlockwiseModel {
    let blocks: [ToyBlock]
    let embedding: Tensor

    init() {
        var generator = SeededGenerator(seed: 31)
        blocks = [ToyBlock(0, &generator), ToyBlock(1, &generator)]
        embedding = generator.matrix(10, 8)
    }

    var blockCount: Int { blocks.count }
    func embed(_ tokens: [Int]) -> Tensor {
        let rows = embedding.floats()
        return Tensor(tokens.flatMap { rows[($0 * 8)..<($0 * 8 + 8)] }, shape: [tokens.count, 8])
    }
    func block(_ index: Int) -> any ModelBlock { blocks[index] }
}

@Suite struct BlockSequentialPruningTests {
    @Test func eachBlockIsPrunedBehindThePrunedPrefix() throws {
        let tokens = (0..<200).map { $0 * 7 % 10 }
        let windows = try CalibrationWindows(tokens: tokens, count: 6, length: 5, seed: 1)
        let method = PruningMethod(
            criterion: WandaCriterion(), granularity: RowGranularity(), allocation: UniformAllocation(), sparsity: 0.5)
        let model = ToyModel()
        var walk = try BlockSequentialPruning(model, windows: windows)
        var found: [String: [Float]] = [:]
        try walk.run { block in
            found.merge(block.inputNorms) { $1 }
            var masks: [String: WeightMask] = [:]
            for name in block.block.matrixNames {
                let matrix = block.block.matrix(name)
                let weight = PrunableWeight(name: name, rows: matrix.shape[0], columns: matrix.shape[1])
                masks[name] = try method.masks(
                    of: [weight], inputNorms: { _ in block.inputNorms[name] }, values: { _ in matrix })[0]
            }
            return masks
        }

        // By hand: dense first block for its own norms, then its pruned form feeds the second block.
        let reference = ToyModel()
        let states = windows.windows.map(reference.embed)
        var expected: [String: ColumnNorms] = [:]
        for state in states { _ = reference.blocks[0].run(state) { expected[$0, default: ColumnNorms()].add($1) } }
        for (name, matrix) in model.blocks[0].matrices { reference.blocks[0].setMatrix(name, to: matrix) }
        for state in states {
            let next = reference.blocks[0].run(state, observe: nil)
            _ = reference.blocks[1].run(next) { expected[$0, default: ColumnNorms()].add($1) }
        }
        #expect(found == expected.mapValues(\.norms))
        #expect(found.count == 4)
        for block in model.blocks {
            for name in block.matrixNames { #expect(block.matrix(name).floats().count { $0 == 0 } == 48) }
        }
    }

    @Test func earlierStagesAreAppliedBeforeABlockRuns() throws {
        let windows = try CalibrationWindows(tokens: [1, 2, 3, 4], count: 2, length: 3, seed: 1)
        var walk = try BlockSequentialPruning(ToyModel(), windows: windows)
        var norms: [[Float]] = []
        try walk.run(prepare: { block in
            block.setMatrix(block.matrixNames[0], to: Tensor([Float](repeating: 0, count: 96), shape: [12, 8]))
        }, masks: { block in
            norms.append(block.inputNorms[block.block.matrixNames[1]] ?? [])
            return [:]
        })
        #expect(norms == [[Float](repeating: 0, count: 12), [Float](repeating: 0, count: 12)])
    }
}

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
        let only = try CalibrationWindows(tokens: [1, 2, 3], count: 2, length: 3, seed: 0)
        #expect(only.windows == [[1, 2, 3], [1, 2, 3]])
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
            let exact = (0..<37).map { Double(values[$0 * 700 + column]) }.reduce(0) { $0 + $1 * $1 }
            #expect(abs(Double(whole.norms[column]) - exact.squareRoot()) < 1e-6 * exact.squareRoot())
        }
        let threads = coppice_thread_count()
        defer { coppice_set_thread_count(threads) }
        for count in [1, 3] {
            coppice_set_thread_count(Int32(count))
            var pieces = ColumnNorms()
            for row in 0..<37 {
                pieces.add(Tensor(Array(values[(row * 700)..<((row + 1) * 700)]), shape: [1, 1, 700]))
            }
            #expect(pieces.norms == whole.norms && pieces.rowCount == 37)
        }
    }
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
        try walk.run(
            prepare: { block in
                block.setMatrix(block.matrixNames[0], to: Tensor([Float](repeating: 0, count: 96), shape: [12, 8]))
            },
            masks: { block in
                norms.append(block.inputNorms[block.block.matrixNames[1]] ?? [])
                return [:]
            })
        #expect(norms == [[Float](repeating: 0, count: 12), [Float](repeating: 0, count: 12)])
    }
}

@Suite struct CalibrationTextTests {
    @Test func filesAreChecked() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("text-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func load(_ name: String, _ bytes: [UInt8]) throws -> CalibrationText {
            let file = folder.appendingPathComponent(name)
            try Data(bytes).write(to: file)
            return try CalibrationText.load(file.path)
        }
        #expect(try load("good.txt", Array("Es war einmal…".utf8)).text == "Es war einmal…")
        #expect { _ = try load("empty.txt", []) } throws: { "\($0)".hasSuffix("is empty, expected a calibration text") }
        #expect { _ = try load("blank.txt", [32, 10, 9]) } throws: { "\($0)".contains("is empty") }
        #expect { _ = try load("binary.txt", [0xC3, 0x28]) } throws: { "\($0)".hasSuffix("is not UTF-8 text") }
        #expect { _ = try CalibrationText.load(folder.path) } throws: { "\($0)".contains("is a folder") }
        #expect { _ = try CalibrationText.load(folder.path + "/none") } throws: {
            ($0 as? CoppiceError)?.kind == .noInput
        }
    }
}

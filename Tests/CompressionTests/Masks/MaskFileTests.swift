import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

/// Masks on their own: files, whom they belong to, and the models that they make.
@Suite struct MaskFileTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func lenet(_ name: String, seed: UInt64 = 1) throws -> StoredWeights {
        let path = folder.path + "/" + name
        let network = try VisionArchitecture(named: "lenet-300-100", widthMultiplier: 0.1).makeNetwork(seed: seed)
        try VisionCheckpoint.write(network, folder: path)
        return try .open(path)
    }

    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was wrong"
        } catch { return "\(error)" }
    }

    @Test func filesGoThereAndBack() throws {
        let weights = try lenet("dense")
        let file = try MaskFile(smallestOf: weights, sparsity: 0.7)
        let path = folder.path + "/mask.safetensors"
        try file.write(to: path)
        #expect(try MaskFile.read(path) == file)
        #expect(file.removedCount == ExactSelection.removedCount(file.count, sparsity: 0.7))
        #expect(file.entries.map(\.name) == ["fc1.weight", "fc2.weight", "fc3.weight"])
        // A bit a weight, and no more than a page beside.
        let size = try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        #expect(size <= file.count / 8 + 3 * 8 + 1_024)
        try file.check(against: weights)
        let empty = MaskFile(
            [.init(name: "none", mask: WeightMask(keepingAllOf: 0, 3))], modelDigest: file.modelDigest)
        try empty.write(to: path)
        #expect(try MaskFile.read(path) == empty && empty.sparsity == 0)
        let layerwise = try MaskFile(smallestOf: weights, sparsity: 0.7, allocation: UniformAllocation())
        #expect(layerwise.entries.allSatisfy { abs($0.mask.sparsity - 0.7) < 0.01 } && layerwise != file)
    }

    /// A mask makes the sparse network of the dense one, with the statistics of norms that it was extracted with.
    @Test func statisticsOfNormsComeAlong() throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 8, widthMultiplier: 0.25
        ).makeNetwork(seed: 1)
        let set = ImageDataSet.shapes(48, size: 8, seed: 2)
        func settle() {
            network.reestimateNormStatistics(on: set.batches(of: 16)) { _ = network.outputs($0.inputs) }
            network.setTraining(false)
        }
        settle()
        let (dense, sparse) = (folder.path + "/dense", folder.path + "/sparse")
        try VisionCheckpoint.write(network, folder: dense)
        try PrunableNetwork(network).prune(by: .magnitude, to: 0.8)
        settle()
        try VisionCheckpoint.write(network, folder: sparse)
        let inputs = Array(set.batches(of: 48))[0].inputs
        let expected = network.outputs(inputs).floats()
        func answers(_ mask: String, _ output: String) throws -> (outputs: [Float], warns: Bool) {
            let result = try MaskApplication(MaskFile.read(mask)).run(
                AnyCheckpoint.open(dense), output: folder.path + "/" + output)
            let applied = try VisionCheckpoint.open(folder.path + "/" + output).network()
            applied.setTraining(false)
            // In memory they make the same network of the dense one.
            let own = try VisionCheckpoint.open(dense)
            let masked = try own.network()
            try MaskFile.read(mask).apply(to: masked, of: .vision(own))
            masked.setTraining(false)
            #expect(masked.outputs(inputs).floats() == applied.outputs(inputs).floats())
            return (applied.outputs(inputs).floats(), result.keepsDenseStatistics)
        }
        let path = folder.path + "/mask.safetensors"
        var file = try MaskFile(zerosOf: .open(sparse), belongingTo: .open(dense))
        #expect(file.statistics.count > 4 && file.statistics.keys.contains { $0.hasSuffix("running_var") })
        try file.write(to: path)
        #expect(try MaskFile.read(path) == file)
        let found = try answers(path, "applied")
        #expect(found.outputs == expected && !found.warns)
        // Without them the network is another one, and the result says so.
        let statistics = file.statistics
        file.statistics = [:]
        try file.write(to: path)
        let bare = try answers(path, "bare")
        #expect(bare.outputs != expected && bare.warns)
        let name = try #require(statistics.keys.sorted().first)
        for (own, message) in [
            ([name: [1, 2, 3]], "\(name): has 3 running statistics, expected 4"),
            (["none": [1]], "none: has 1 running statistics, expected none of this name"),
            ([name: [.nan, 1, 1, 1]], "\(name): element [0] is NaN"),
        ] as [([String: [Float]], String)] {
            file.statistics = own
            try file.write(to: path)
            #expect(failure { _ = try answers(path, "damaged") }.contains(message), "\(message)")
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/damaged"))
        }
    }

    @Test func damageIsNamed() throws {
        let file = try MaskFile(smallestOf: lenet("dense"), sparsity: 0.5)
        let path = folder.path + "/mask.safetensors"
        func written(_ key: String, _ value: String?, _ tensor: Tensor? = nil) throws -> String {
            try file.write(to: path)
            let stored = try SafetensorsFile(path: path)
            var metadata = stored.metadata
            metadata[key] = value
            var tensors = try stored.names.map { (name: $0, tensor: try stored.tensor($0).copied()) }
            if let tensor { tensors[0].tensor = tensor }
            try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
            return failure { _ = try MaskFile.read(path) }
        }
        #expect(try written("format", "pt").contains("is no mask file"))
        #expect(try written("model", "abc").contains("model: \"abc\", expected a SHA-256"))
        #expect(try written("shapes", nil).contains("is no mask file"))
        #expect(try written("shapes", "[1]").contains("shapes: expected an object"))
        #expect(try written("shapes", "{\"fc1.weight\":[30,784]}").contains("has no rows and columns"))
        #expect(try written("shapes", "{\"fc9\":[1,2]}").contains("fc9: is missing"))
        let huge = "{\"fc1.weight\":[4611686018427387904,4]}"
        #expect(try written("shapes", huge).contains("fc1.weight: has no rows and columns"))
        #expect(try written("none", nil, Tensor([1, 2])).contains("fc1.weight: is i64 [2], expected i64 [368]"))
        #expect(try written("none", nil, .ones([368])).contains("fc1.weight: is f32 [368]"))
        let last = try MaskFile(zerosOf: lenet("dense"))
        let tail = Tensor(last.entries[2].mask.words.map { Int64(bitPattern: $0 | 1 << 63) })
        try SafetensorsWriter.write(
            [(name: "w", tensor: tail)],
            metadata: ["format": "bitmap", "model": file.modelDigest, "shapes": "{\"w\":[10,10]}"], to: path)
        #expect(failure { _ = try MaskFile.read(path) }.contains("w: has bits behind its 100 weights"))
        try Data("nothing".utf8).write(to: URL(fileURLWithPath: path))
        #expect(failure { _ = try MaskFile.read(path) }.contains("mask.safetensors"))
    }

    /// Applied, kept weights are what they were, bit for bit, and the sparse model gives the mask back.
    @Test func maskAndDenseModelMakeTheSparseOne() throws {
        let dense = try lenet("dense")
        let file = try MaskFile(
            smallestOf: dense, sparsity: 0.8, selection: WeightSelection(ignore: [WeightPattern("fc3")]))
        let result = try MaskApplication(file).run(AnyCheckpoint.open(dense.path), output: folder.path + "/sparse")
        let sparse = try StoredWeights.open(folder.path + "/sparse")
        for entry in file.entries {
            let (before, after) = (try dense.values(of: entry.name), try sparse.values(of: entry.name))
            let flags = entry.mask.indicator.floats()
            for (place, value) in after.floats().enumerated() {
                #expect(value.bitPattern == (flags[place] == 1 ? before.floats()[place].bitPattern : 0))
            }
        }
        #expect(try sparse.values(of: "fc3.weight").floats() == (try dense.values(of: "fc3.weight").floats()))
        #expect(result.bytes < result.bytesBefore / 3)
        let back = try MaskFile(
            zerosOf: sparse, selection: WeightSelection(ignore: [WeightPattern("fc3")]), belongingTo: dense)
        #expect(back == file)
        #expect(
            failure { _ = try MaskFile(smallestOf: sparse, sparsity: 0.5) }.hasPrefix("sparsity: 0.5 is below the 0.7"))
        // Of itself it is the mask of other weights.
        #expect(try MaskFile(zerosOf: sparse).modelDigest != file.modelDigest)
    }

    @Test func languageModelsKeepTheirTypesAndOtherTensors() throws {
        let model = try TinyCheckpoint.make(in: folder)
        let dense = try StoredWeights.open(model.path)
        let file = try MaskFile(smallestOf: dense, sparsity: 0.6)
        #expect(file.entries.count == 14)
        for preference in [FormatPlanner.Preference.size, .speed] {
            var application = MaskApplication(file)
            application.preference = preference
            _ = try application.run(.languageModel(model), output: folder.path + "/sparse")
            let sparse = try Checkpoint.open(folder.path + "/sparse")
            let name = file.entries[2].name
            #expect(sparse.isCompressed(name) == (preference == .size))
            var expected = try dense.values(of: name).copied()
            file.entries[2].mask.apply(to: &expected)
            #expect(try sparse.weight(name).dense().floats() == expected.floats())
            let table = "model.embed_tokens.weight"
            #expect(try sparse.tensor(table).floats() == (try model.tensor(table).floats()))
            #expect(try MaskFile(zerosOf: .open(sparse.path), belongingTo: dense) == file)
        }
    }

    @Test func masksOfOtherModelsAreRefused() throws {
        let (dense, other) = (try lenet("dense"), try lenet("other", seed: 2))
        let file = try MaskFile(smallestOf: dense, sparsity: 0.5)
        func message(_ weights: StoredWeights) -> String {
            failure { try file.check(against: weights, source: "m.safetensors") }
        }
        #expect(message(dense) == "nothing was wrong")
        #expect(message(other).hasPrefix("m.safetensors: model: is the mask of other weights than those of"))
        let path = folder.path + "/wide"
        try VisionCheckpoint.write(VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1), folder: path)
        #expect(message(try .open(path)).contains("fc1.weight: is the mask of 30 × 784 weights"))
        let model = try TinyCheckpoint.make(in: folder)
        #expect(message(try .open(model.path)).contains("fc1.weight: is no weight of"))
        #expect(failure { _ = try MaskApplication(file).run(.open(other.path), output: folder.path + "/x") } != "")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/x"))
        #expect(failure { _ = try MaskFile(zerosOf: dense, belongingTo: .open(path)) }.contains("30 × 784"))
    }

    @Test func agreementIsCounted() throws {
        func file(_ kept: [Bool], _ name: String = "w") -> MaskFile {
            MaskFile([.init(name: name, mask: WeightMask(rows: 2, columns: 3, kept: kept))], modelDigest: "")
        }
        let (a, b) = (file([true, true, true, false, false, true]), file([true, false, true, true, false, false]))
        let own = try #require(try a.agreement(with: b).first?.agreement)
        #expect(own.overlap == 0.5 && own.jaccard == 0.4 && own.hammingDistance == 0.5)
        #expect(try b.agreement(with: a)[0].agreement.overlap == 2.0 / 3)
        #expect(throws: CoppiceError.self) {
            try a.agreement(with: file([true, false, true, true, false, false], "v"))
        }
        let wide = MaskFile([.init(name: "w", mask: WeightMask(keepingAllOf: 3, 2))], modelDigest: "")
        #expect(throws: CoppiceError.self) { try a.agreement(with: wide) }
    }
}

import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

extension ClassificationRun {
    /// What a run with gates has come to at its last checkpoint.
    public struct GatesSoFar {
        public var gated: GatedNetwork
        public var extracted: ExtractedNetwork
        /// Of the checkpoint.
        public var step: Int
        public var normalization: ImageNormalization
    }

    /// The run whose folder this is, `OUTPUT.run`, to be looked at or gone on with.
    ///
    /// - Throws: `.noInput` where there is no such folder, `.badData` where it is not that of a run on images with gates.
    public init(
        runFolder: String, dataFolder: String?, gating: @escaping ClassificationRecipe.Gating
    ) throws {
        var path = runFolder
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard FileManager.default.fileExists(atPath: path) else {
            throw CoppiceError(.noInput, source: runFolder, "no such folder")
        }
        guard path.hasSuffix(".run"), FileManager.default.fileExists(atPath: path + "/run.json") else {
            throw CoppiceError(
                .badData, source: runFolder,
                "is not the folder of a training run, expected OUTPUT.run of coppice train")
        }
        guard case .classification(let recipe) = try AnyTrainingRecipe.load(path + "/recipe.yaml"), recipe.gates != nil
        else {
            throw CoppiceError(
                .badData, source: path + "/recipe.yaml", field: "gates",
                "is missing, expected the recipe of a run on images with gates")
        }
        let options = TrainingRun.Options(output: String(path.dropLast(4)), resumes: true, dataFolder: dataFolder)
        self.init(recipe: recipe, options: options, gating: gating)
    }

    /// Cuts out what the gates leave out at the last checkpoint; the run stays as it is.
    ///
    /// - Parameter limit: the largest disagreement that is cut through; nil for any.
    /// - Throws: `.badData` where there is no checkpoint yet, and naming the gates beyond the limit; what opening images
    ///   and networks throws.
    public func extractGates(limit: Double?) throws -> GatesSoFar {
        let data = try ClassificationImages(recipe, dataFolder: options.dataFolder)
        let (network, sparse) = try recipe.makeStartingPoint(for: data.training, dataFolder: options.dataFolder)
        guard let gated = try makeGates(network, sparse, data.training) else {
            throw CoppiceError(
                .badData, source: recipe.source, field: "gates", "is missing, expected a recipe with gates")
        }
        let folder = try RunFolder(
            output: options.output, recipeText: recipe.text, training: data.training.digest,
            validation: data.validation?.digest, resume: true
        ) { identity, path in try check(identity, path, data) }
        let trainer = try makeTrainer(network, sparse, gated, data, folder)
        guard trainer.state.step > 0 else {
            throw CoppiceError(.badData, source: folder.path, "holds no checkpoint yet")
        }
        return GatesSoFar(
            gated: gated.network, extracted: try extract(gated, data, limit: limit), step: trainer.state.step,
            normalization: data.training.normalization)
    }

    // MARK: - Parts

    /// The training of the network with gates, where the recipe has some.
    func makeGates(
        _ network: any VisionNetwork, _ sparse: SparseWeights?, _ images: ImageDataSet
    ) throws -> (any GatedTraining)? {
        guard let gates = recipe.gates else { return nil }
        if sparse?.hook(network) != nil {
            throw CoppiceError(
                .badData, source: recipe.source, field: "gates", "need dense weights, and model.weights are sparse")
        }
        do {
            return try gating(network, gates, recipe.training(images: images.count).rates.totalSteps, recipe.seed)
        } catch var error as CoppiceError {
            error.source = error.source ?? recipe.source
            throw error
        }
    }

    /// Cuts out what gates leave out, as held-out images decide, or training images where none are held out.
    func extract(_ gated: any GatedTraining, _ data: ClassificationImages, limit: Double?) throws -> ExtractedNetwork {
        var heldOut = data.training
        if case .heldOut = recipe.images.validation, let validation = data.validation { heldOut = validation }
        if heldOut.count > Self.decidingImages { heldOut = try heldOut.sample(Self.decidingImages, seed: recipe.seed) }
        let batches = ImageBatches(
            data.training, batchSize: recipe.loop.batchSize, seed: recipe.seed,
            augmentation: recipe.images.augmentation)
        let count = min(Self.statisticsBatches, batches.batchesPerEpoch)
        do {
            var result = try gated.extract(
                on: Array(heldOut.batches(of: 250)), statistics: (0..<count).lazy.map(batches.batch(at:)), limit: limit)
            if let validation = data.validation {
                result.summary.gatedValidation = Classification.measure(gated.network, on: validation)
                result.summary.validation = Classification.measure(result.network, on: validation)
            }
            return result
        } catch var error as CoppiceError {
            error.source = error.source ?? RunFolder.path(forOutput: options.output)
            throw error
        }
    }

    /// Images that gates decide on, and batches that norms are measured on anew.
    private static let (decidingImages, statisticsBatches) = (5_000, 200)
}

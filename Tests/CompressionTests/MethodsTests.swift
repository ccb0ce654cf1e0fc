import CoppiceCompression
import CoppiceModels
import Foundation
import Testing

@Suite struct MethodsTests {
    @Test func everyMethodThatRecipesKnowIsInTheCatalogueAndEveryExampleIsARecipe() throws {
        let names = Set(Methods.all.map(\.name))
        #expect(names.count == Methods.all.count)
        for method in PruneStage.Method.allCases { #expect(names.contains(method.rawValue)) }
        for allocation in PruneStage.Sharing.allCases { #expect(names.contains(allocation.rawValue)) }
        for method in Methods.all {
            #expect((method.example == nil) == (method.recipeKey == nil))
            if let example = method.example { _ = try Recipe(yaml: example, source: method.name) }
        }
    }

    /// Each example is matched with a language model, an encoder and vision networks, and fits all but what it is not for.
    @Test func everyExampleFitsTheNetworksThatItIsFor() throws {
        let folder = try TemporaryFolder()
        var configuration = TinyCheckpoint.configuration
        (configuration.maximumPositions, configuration.layerCount) = (512, 4)
        let decoder = try TinyCheckpoint.make(in: folder, configuration: configuration)
        let encoder = try TextClassifier.write(to: folder.path + "/encoder", layers: 4, width: 64)
        func vision(_ name: String, _ architecture: VisionArchitecture) throws -> VisionCheckpoint {
            try VisionCheckpoint.write(architecture.makeNetwork(seed: 1), folder: folder.path + "/" + name)
            return try .open(folder.path + "/" + name)
        }
        // Groups of 32 inputs divide the one, and whole blocks are in the other.
        let networks = [
            try vision(
                "perceptron",
                .init(named: "lenet-300-100", classes: 12, inputChannels: 1, imageSize: 32, widthMultiplier: 0.32)),
            try vision("residual", .init(named: "resnet20", imageSize: 8, widthMultiplier: 0.25)),
        ]
        let ofTexts: Set = ["sparsegpt", "heads and neurons", "block-sequential calibration", "reconstruct"]
        let ofImages: Set = ["synflow", "channels", "l1", "l2", "group-l2", "bn-scale"]
        // Names matrices as decoders do.
        let ofDecoders: Set = ["budgets"]
        for method in Methods.all {
            guard let example = method.example else { continue }
            let recipe = try Recipe(yaml: example, source: method.name)
            func refusal(_ match: () throws -> Void) -> String? {
                do {
                    try match()
                    return nil
                } catch { return "\(error)" }
            }
            let language = refusal { _ = try Compressor(decoder, recipe: recipe) }
            let texts = refusal { _ = try EncoderCompressor(encoder, recipe: recipe) }
            let images = networks.compactMap { network in
                refusal { _ = try VisionCompressor(network, recipe: recipe) }
            }
            #expect((language == nil) == !ofImages.contains(method.name), "\(language ?? method.name)")
            let isOfTexts = !ofImages.union(ofDecoders).contains(method.name)
            #expect((texts == nil) == isOfTexts, "\(texts ?? method.name)")
            let isOfImages = !ofTexts.union(ofDecoders).contains(method.name)
            #expect((images.count < networks.count) == isOfImages, "\(images) \(method.name)")
        }
    }

    @Test func theLibraryOfRecipesIsValid() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Recipes")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            $0.hasSuffix(".yaml") && !$0.hasPrefix("train-")
        }
        #expect(files.count >= 12)
        for file in files {
            let recipe = try Recipe.load(folder.appendingPathComponent(file).path)
            #expect(recipe.name.map { $0 + ".yaml" } == file)
            #expect(recipe.text.hasPrefix("# "))
        }
    }
}

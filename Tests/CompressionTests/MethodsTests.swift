import CoppiceCompression
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

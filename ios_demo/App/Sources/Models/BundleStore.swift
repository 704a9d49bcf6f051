import Foundation
import SqueezeBertKit

/// The bundles that the app has: those built into it, and those that the user brought.
struct BundleStore: Sendable {
  /// Of a directory that may be a bundle: the bundle, or why it is none.
  typealias Found = Result<ModelBundle, any Error>

  let builtIn: URL
  let brought: URL

  /// App/Bundles of the project, and a directory of the app's own.
  static let app = BundleStore(
    builtIn: Bundle.main.bundleURL.appendingPathComponent("Bundles", isDirectory: true),
    brought: URL.applicationSupportDirectory.appendingPathComponent("Bundles", isDirectory: true))

  /// Opens and checks all, which reads all of them; by name, the same name but once.
  func all() async -> [Found] {
    var names: Set<String> = []
    return (directories(in: brought) + directories(in: builtIn))
      .filter { names.insert($0.lastPathComponent).inserted }
      .sorted { $0.lastPathComponent < $1.lastPathComponent }
      .map { directory in Found { try ModelBundle(at: directory) } }
  }

  /// Copies a folder that the user picked, if it is a bundle.
  ///
  /// - Throws: `InputError`: it is none, or one of that name was brought before.
  func bring(_ folder: URL) async throws {
    let scoped = folder.startAccessingSecurityScopedResource()
    defer { if scoped { folder.stopAccessingSecurityScopedResource() } }
    let target = brought.appendingPathComponent(folder.lastPathComponent, isDirectory: true)
    let manager = FileManager.default
    if manager.fileExists(atPath: target.path) {
      throw InputError("\(folder.lastPathComponent) is there already", hint: "remove it first, or rename the folder")
    }
    try manager.createDirectory(at: brought, withIntermediateDirectories: true)
    // Copied beside, so that it is there whole or not at all.
    let beside = try manager.url(
      for: .itemReplacementDirectory, in: .userDomainMask, appropriateFor: brought, create: true)
    defer { try? manager.removeItem(at: beside) }
    let copy = beside.appendingPathComponent(folder.lastPathComponent, isDirectory: true)
    try manager.copyItem(at: folder, to: copy)
    _ = try ModelBundle(at: copy)
    try manager.moveItem(at: copy, to: target)
  }

  /// Whether the user brought it, so that it may be removed.
  func isBrought(_ bundle: ModelBundle) -> Bool {
    bundle.directory.deletingLastPathComponent().standardizedFileURL == brought.standardizedFileURL
  }

  /// Removes a bundle that the user brought.
  func remove(_ bundle: ModelBundle) async throws { try FileManager.default.removeItem(at: bundle.directory) }

  private func directories(in parent: URL) -> [URL] {
    let found = try? FileManager.default.contentsOfDirectory(
      at: parent, includingPropertiesForKeys: [.isDirectoryKey], options: .skipsHiddenFiles)
    return (found ?? []).filter { (try? $0.resourceValues(forKeys: [.isDirectoryKey]).isDirectory) == true }
  }
}

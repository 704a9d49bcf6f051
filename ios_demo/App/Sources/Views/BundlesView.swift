import SqueezeBertKit
import SwiftUI
import UniformTypeIdentifiers

/// The bundles that are here; others can be brought from a folder.
struct BundlesView: View {
  @Environment(Demo.self) private var demo
  @State private var isPicking = false

  var body: some View {
    NavigationStack {
      List {
        ForEach(demo.bundles, id: \.sha256) { bundle in
          VStack(alignment: .leading, spacing: 4) {
            Text(bundle.directory.lastPathComponent)
              .font(.headline)
            Text("\(bundle.manifest.task), \(bundle.manifest.source.checkpoint)")
            Text(bundle.summary)
            Text(bundle.manifest.verification.status)
          }
          .font(.subheadline)
          .accessibilityElement(children: .combine)
          .swipeActions {
            if demo.store.isBrought(bundle) {
              Button("Remove", role: .destructive) { Task { await demo.remove(bundle) } }
            }
          }
        }
      }
      .overlay { if demo.bundles.isEmpty { NoBundles() } }
      .navigationTitle("Bundles")
      .toolbar {
        Button("Open a bundle", systemImage: "folder.badge.plus") { isPicking = true }
      }
      .fileImporter(isPresented: $isPicking, allowedContentTypes: [.folder]) { picked in
        switch picked {
        case .success(let folder): Task { await demo.bring(folder) }
        case .failure(let error): demo.problem = error.localizedDescription
        }
      }
    }
  }
}

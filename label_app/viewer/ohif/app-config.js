// OHIF's configuration: this server's DICOMweb, and this project's extension and mode, which OHIF imports as plain ES modules.

// without WebGL OHIF shows nothing: the plain page shows the same image
function canDraw() {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('webgl2') ?? canvas.getContext('webgl');
  context?.getExtension('WEBGL_lose_context')?.loseContext();
  return context !== null;
}
if (!canDraw()) {
  const asked = new URLSearchParams(location.search);
  const query = new URLSearchParams({ notice: 'webgl' });
  const [study, sop, frame] = [asked.get('StudyInstanceUIDs'), asked.get('initialSOPInstanceUID'), /^#frame=(\d+)$/.exec(location.hash)?.[1]];
  if (study) query.set('study', study);
  if (sop) query.set('image', sop);
  if (frame) query.set('frame', frame);
  location.replace(`/tavr/plain/?${query}`);
}

// OHIF adds its own modes to ours, and skips one whose id it has met: these are for other images than angiography
const UNWANTED = ['segmentation', 'tmtv', 'microscopy', 'preclinical-4d', 'monai-label'];
const withoutMode = name => ({ id: `@ohif/mode-${name}`, modeFactory: () => null });

window.config = {
  routerBasename: '/ohif/',
  showStudyList: true,
  extensions: ['/tavr/viewer/ohif/extension.js'],
  modes: ['/tavr/viewer/ohif/mode.js', ...UNWANTED.map(withoutMode)],
  investigationalUseDialog: { option: 'never' },
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  useSharedArrayBuffer: 'FALSE',
  maxNumberOfWebWorkers: 3,
  defaultDataSourceName: 'dicomweb',
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement(
        'div',
        { style: { display: 'flex', alignItems: 'baseline', gap: '8px', whiteSpace: 'nowrap' } },
        React.createElement('span', { style: { color: '#fff', fontWeight: 600, fontSize: '17px' } }, 'TAVR keypoints'),
        React.createElement('span', { style: { color: '#7f9ab5', fontSize: '12px' } }, 'MONAI Label · OHIF ·'),
        React.createElement(
          'a',
          { href: '/tavr/plain/', style: { color: '#7f9ab5', fontSize: '12px' }, onClick: event => event.stopPropagation() },
          'plain viewer'
        )
      ),
  },
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'Studies folder',
        name: 'studies',
        wadoUriRoot: '/dicomweb',
        qidoRoot: '/dicomweb',
        wadoRoot: '/dicomweb',
        qidoSupportsIncludeField: true,
        supportsReject: false,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'thumbnail',
        enableStudyLazyLoad: true,
        dicomUploadEnabled: false,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: false },
      },
    },
  ],
};
